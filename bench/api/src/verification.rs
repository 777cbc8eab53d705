//! What one verification of a signature costs in the library that the server uses, with nothing around it:
//! the physical limit of a signed poll.

use std::thread;
use std::time::Duration;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use rustix::time::{ClockId, clock_gettime};

/// As long as the base of a signed poll.
const MESSAGE: [u8; 320] = [b'm'; 320];

/// A signature by P-256 and SHA-256, and the key that verifies it.
pub(crate) struct Verification {
    key: Vec<u8>,
    signature: Vec<u8>,
}

impl Verification {
    pub(crate) fn new() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("there is randomness");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random);
        let pair = pair.expect("a new key can be used");
        let signature = pair.sign(&random, &MESSAGE).expect("a key can sign");
        Self { key: pair.public_key().as_ref().to_vec(), signature: signature.as_ref().to_vec() }
    }

    /// How many microseconds of CPU time one takes, of so many, while all processors do nothing else: they
    /// share what they are made of, and a server uses them all.
    pub(crate) fn cost(&self, count: u32) -> f64 {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let busy: Vec<_> =
                (0..processors).map(|_| scope.spawn(|| self.cost_on_one(count))).collect();
            let costs = busy.into_iter().map(|it| it.join().expect("it does not panic"));
            costs.sum::<f64>() / processors as f64
        })
    }

    fn cost_on_one(&self, count: u32) -> f64 {
        let before = thread_time();
        for _ in 0..count {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.key)
                .verify(&MESSAGE, &self.signature)
                .expect("the signature holds");
        }
        (thread_time() - before).as_secs_f64() * 1e6 / f64::from(count)
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("CPU time is not negative");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("a second has 10^9 nanoseconds"))
}
