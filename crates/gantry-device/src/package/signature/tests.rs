//! Signatures that the real GnuPG has made.

use testkit::openpgp::Keyring;

use super::*;
use crate::clock;

const APPLICATION: &str = "com-example-app";
const PACKAGE: &[u8] = b"a package";
const YEAR: i64 = 366 * 24 * 60 * 60;

/// A device's state, and a package on its disk.
struct Bench {
    folder: tempfile::TempDir,
    state: StateDir,
    rules: Vec<SigningKeyConfig>,
    now: i64,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(&folder.path().join("state")).expect("nobody else has it");
        std::fs::write(folder.path().join("package"), PACKAGE).expect("writable");
        Self { folder, state, rules: Vec::new(), now: clock::now_ms() / 1000 }
    }

    fn check(&self, key: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        self.check_for(APPLICATION, key, signature)
    }

    fn check_for(
        &self,
        application: &str,
        key: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let trust = Trust { state: &self.state, rules: &self.rules, now: self.now };
        let trusted = trust.for_application(application)?;
        let package = self.folder.path().join("package");
        let seal = trust.seal(application, &trusted, key, signature)?;
        trust.check(&seal, &package)
    }

    #[track_caller]
    fn refuses(&self, key: &[u8], signature: &[u8], words: &str) {
        let error = self.check(key, signature).expect_err(words);
        let told = crate::chain(&error);
        assert!(told.contains(words), "{words}: {told}");
    }

    fn pinned(&self) -> BTreeMap<String, String> {
        self.state.load(PINNED).expect("readable").unwrap_or_default()
    }
}

fn rule(trusted: TrustedKeys) -> SigningKeyConfig {
    SigningKeyConfig { application: APPLICATION.to_owned(), trusted }
}

#[test]
fn signatures_of_gnupg_hold_whatever_the_key_and_whether_armored_or_not() {
    let keys = Keyring::new();
    for (user, algorithm) in
        [("edwards", "ed25519"), ("rivest", "rsa2048"), ("koblitz", "nistp256")]
    {
        let fingerprint = keys.make(user, algorithm, "1y");
        for more in [&["--armor"][..], &[], &["--digest-algo", "SHA512"]] {
            let bench = Bench::new();
            let signature = keys.sign(user, PACKAGE, more);
            bench.check(&keys.public(user), &signature).expect(algorithm);
            assert_eq!(bench.pinned()[APPLICATION], fingerprint);
        }
    }
    // A part of the key signs in its place, and the fingerprint that counts is the whole one's.
    let fingerprint = keys.make("parts", "ed25519", "1y");
    keys.add_signing_part(&fingerprint, "rsa2048");
    let bench = Bench::new();
    let signature = keys.sign("parts", PACKAGE, &[]);
    bench.check(&keys.public("parts"), &signature).expect("its part may sign");
    assert_eq!(bench.pinned()[APPLICATION], fingerprint);
    let later = Bench { now: bench.now + 2 * YEAR, ..Bench::new() };
    later.refuses(&keys.public("parts"), &signature, "has expired");
}

#[test]
fn clear_signed_checksums_stand_for_the_package_that_they_name() {
    let keys = Keyring::new();
    for algorithm in ["ed25519", "rsa2048"] {
        let fingerprint = keys.make(algorithm, algorithm, "1y");
        let public = keys.public(algorithm);
        let clear =
            |text: &str| keys.gpg(&["--local-user", algorithm, "--clearsign"], text.as_bytes());
        let digest = margo_contract::digest::Digest::of(PACKAGE).to_string();
        let digest = digest.trim_start_matches("sha256:").to_owned();
        let list = format!("{}  another.tar.gz\n- a dash\n{digest}  app.tar.gz\n", "0".repeat(64));
        let (bench, signed) = (Bench::new(), clear(&list));
        bench.check(&public, &signed).expect("it is named");
        assert_eq!(bench.pinned()[APPLICATION], fingerprint);

        let fresh = Bench::new();
        fresh.refuses(&public, &clear("nothing\n"), "do not have that of this package");
        let forged = String::from_utf8(clear("0\n")).expect("it is text");
        let forged = forged.replace("\n0\n", &format!("\n{digest}\n"));
        fresh.refuses(&public, forged.as_bytes(), "it is not by the key");
        let more = [&signed[..], b"trailing"].concat();
        fresh.refuses(&public, &more, "is not OpenPGP");
        assert!(fresh.pinned().is_empty(), "nothing of it was trusted");
    }
}

#[test]
fn the_first_key_is_pinned_for_its_application_and_no_other_is_taken_after_it() {
    let keys = Keyring::new();
    let first = keys.make("first", "ed25519", "never");
    let second = keys.make("second", "ed25519", "never");
    let by = |user: &str| (keys.public(user), keys.sign(user, PACKAGE, &["--armor"]));
    let (bench, (key, signature)) = (Bench::new(), by("first"));
    bench.check(&key, &signature).expect("it is the first");
    let (other_key, other_signature) = by("second");
    let error = bench.check(&other_key, &other_signature).expect_err("it is another key");
    assert!(matches!(error, SignatureError::KeyChanged { .. }), "{error}");
    let told = error.to_string();
    assert!(told.contains(&first) && told.contains(&second), "{told}");
    assert_eq!(bench.pinned()[APPLICATION], first);
    bench.check_for("com-example-other", &other_key, &other_signature).expect("another maker's");

    // After a restart, too.
    let Bench { folder, state, rules, now } = bench;
    drop(state);
    let state = StateDir::open(&folder.path().join("state")).expect("nobody else has it");
    let mut bench = Bench { folder, state, rules, now };
    assert!(bench.check(&other_key, &other_signature).is_err());
    // Both keys at one place: the trusted one still has to be the one that signed.
    let both = keys.gpg(&["--armor", "--export", "first", "second"], b"");
    bench.check(&both, &signature).expect("it is there");
    bench.refuses(&both, &other_signature, "it is not by the key");

    // What the owner says goes before what was pinned.
    bench.rules = vec![rule(TrustedKeys::Fingerprints(BTreeSet::from([second.clone()])))];
    bench.check(&other_key, &other_signature).expect("the owner says so");
    assert!(bench.check(&key, &signature).is_err());
    let file = bench.folder.path().join("trusted.asc");
    std::fs::write(&file, &other_key).expect("writable");
    bench.rules = vec![rule(TrustedKeys::File(file.clone()))];
    bench.check(b"whatever is offered", &other_signature).expect("the owner has the key");
    bench.refuses(&key, &signature, "it is not by the key");
    std::fs::remove_file(file).expect("removable");
    bench.refuses(&other_key, &other_signature, "trusted.asc");
    assert_eq!(bench.pinned()[APPLICATION], first, "it is not changed by that");
}

#[test]
fn what_is_not_signed_as_it_is_pins_nobody() {
    let keys = Keyring::new();
    keys.make("maker", "ed25519", "never");
    keys.make("other", "ed25519", "never");
    let (bench, key) = (Bench::new(), keys.public("maker"));
    let good = keys.sign("maker", PACKAGE, &["--armor"]);
    bench.refuses(&key, &keys.sign("maker", b"another package", &[]), "it is not by the key");
    bench.refuses(&key, &keys.sign("other", PACKAGE, &[]), "it is not by the key");
    bench.refuses(&key, &keys.sign("maker", PACKAGE, &["--textmode"]), "not one over a file");
    for weak in ["SHA1", "SHA224", "RIPEMD160"] {
        let options = ["--digest-algo", weak, "--allow-weak-digest-algos"];
        bench.refuses(&key, &keys.sign("maker", PACKAGE, &options), "too weak");
    }
    let clear = keys.gpg(&["--local-user", "maker", "--clear-sign"], PACKAGE);
    bench.refuses(&key, &clear, "do not have that of this package");
    for nonsense in [&b""[..], b"nonsense", &[0xff; 100], &good[..good.len() / 2]] {
        assert!(bench.check(&key, nonsense).is_err(), "{nonsense:?}");
        assert!(bench.check(nonsense, &good).is_err(), "{nonsense:?}");
    }
    let stated = ["--set-notation", "!flavour@example.com=sour"];
    bench.refuses(&key, &keys.sign("maker", PACKAGE, &stated), "critical");
    assert!(bench.pinned().is_empty());
    bench.check(&key, &good).expect("it is good all the same");
}

#[test]
fn what_is_over_revoked_or_too_short_is_refused() {
    let keys = Keyring::new();
    let mut bench = Bench::new();
    let fingerprint = keys.make("maker", "ed25519", "1y");
    let (key, signature) = (keys.public("maker"), keys.sign("maker", PACKAGE, &[]));
    let short_lived = keys.sign("maker", PACKAGE, &["--default-sig-expire", "1d"]);
    bench.now += 2 * YEAR;
    bench.refuses(&key, &signature, "it has expired");
    bench.now -= 2 * YEAR;
    bench.check(&key, &signature).expect("it is good now");
    bench.now += 2 * 24 * 60 * 60;
    bench.refuses(&key, &short_lived, "it has expired");
    bench.now -= 9 * 24 * 60 * 60;
    bench.refuses(&key, &signature, "no self-signature");
    bench.now += 7 * 24 * 60 * 60;

    keys.revoke(&fingerprint);
    bench.refuses(&keys.public("maker"), &signature, "it was revoked");

    let bench = Bench::new();
    keys.make("short", "rsa1024", "1y");
    bench.refuses(&keys.public("short"), &keys.sign("short", PACKAGE, &[]), "too weak");
    keys.gpg(
        &[
            "--quick-generate-key",
            "--cert-digest-algo",
            "SHA1",
            "--allow-weak-digest-algos",
            "broken",
            "ed25519",
            "cert,sign",
            "1y",
        ],
        b"",
    );
    bench.refuses(&keys.public("broken"), &keys.sign("broken", PACKAGE, &[]), "no self-signature");
    keys.gpg(&["--quick-generate-key", "certifier", "ed25519", "cert", "1y"], b"");
    let error = bench.check(&keys.public("certifier"), &signature).expect_err("it may not sign");
    assert!(error.to_string().contains("none of its parts may sign"), "{error}");
    assert!(bench.pinned().is_empty());
}
