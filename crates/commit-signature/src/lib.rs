//! Signatures of Git commits with SSH keys (OpenSSH's format SSHSIG, namespace `git`), as any Git checks
//! them with `gpg.format = ssh`: sign and verify, with Ed25519. No I/O, and no opinion on whom to trust.

mod recovery;

use std::fmt;
use std::str::FromStr;

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey, Signature, SshSig};

pub use recovery::Recovery;

/// What keeps a signature of a commit from being taken for one of something else.
const NAMESPACE: &str = "git";
/// The longest signature that is read, in bytes; one with Ed25519 has some 300.
const LONGEST_SIGNATURE: usize = 4096;
/// The trailer by which a commit vouches for the key that signs those after it.
const INTRODUCTION: &str = "Gantry-Introduces-Signer";
/// The longest public key that is read, in bytes; one of Ed25519 has 80.
const LONGEST_SIGNER: usize = 1024;

/// A private key that signs commits. Says nothing about itself when printed.
pub struct SigningKey(Ed25519KeyPair);

/// A public key whose commits can be told from those of others. Printed as in `authorized_keys`:
/// `ssh-ed25519` and the key in Base64.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signer([u8; 32]);

/// A key cannot be made or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the system has no randomness to make a key")]
    NoRandomness,
    #[error("not an Ed25519 private key in PKCS#8")]
    Invalid,
    #[error("the signature cannot be written down")]
    Unwritable,
}

/// The text is not a public key that this program can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a key as in `ssh-ed25519 AAAA…`, the one kind that signs commits here")]
pub struct InvalidSigner;

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the signature is not one of SSH")]
    Unreadable,
    #[error("the signature is for another purpose than Git")]
    Namespace,
    #[error("the signature is not one with Ed25519")]
    Algorithm,
    #[error("the signature is not of these bytes")]
    Wrong,
}

impl SigningKey {
    /// Makes a key; gives it as a PKCS#8 document in DER, to be kept.
    pub fn generate() -> Result<Vec<u8>, KeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        document.map(|it| it.as_ref().to_vec()).map_err(|_| KeyError::NoRandomness)
    }

    /// Takes a key from what [`SigningKey::generate`] gave.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        Ed25519KeyPair::from_pkcs8(der).map(Self).map_err(|_| KeyError::Invalid)
    }

    /// The public half.
    pub fn signer(&self) -> Signer {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        Signer(key)
    }

    /// Signs a commit as it is without its signature; gives the text for its header `gpgsig`.
    pub fn sign(&self, commit: &[u8]) -> Result<String, KeyError> {
        let unwritable = |_| KeyError::Unwritable;
        let signed = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, commit).map_err(unwritable)?;
        let signature = self.0.sign(&signed).as_ref().to_vec();
        let signature = Signature::new(Algorithm::Ed25519, signature).map_err(unwritable)?;
        let key = KeyData::Ed25519(Ed25519PublicKey(self.signer().0));
        SshSig::new(key, NAMESPACE, HashAlg::Sha512, signature)
            .and_then(|it| it.to_pem(LineEnding::LF))
            .map_err(unwritable)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// Checks a signature of a commit as it is without its signature, and says whose it is. Whether that one
/// is to be trusted is for the caller to decide.
pub fn verify(signature: &str, commit: &[u8]) -> Result<Signer, SignatureError> {
    if signature.len() > LONGEST_SIGNATURE {
        return Err(SignatureError::Unreadable);
    }
    let parsed = SshSig::from_pem(signature).map_err(|_| SignatureError::Unreadable)?;
    if parsed.namespace() != NAMESPACE {
        return Err(SignatureError::Namespace);
    }
    let KeyData::Ed25519(key) = parsed.public_key() else {
        return Err(SignatureError::Algorithm);
    };
    if parsed.signature().algorithm() != Algorithm::Ed25519 {
        return Err(SignatureError::Algorithm);
    }
    let signed = SshSig::signed_data(NAMESPACE, parsed.hash_alg(), commit)
        .map_err(|_| SignatureError::Unreadable)?;
    UnparsedPublicKey::new(&ED25519, key.0)
        .verify(&signed, parsed.signature().as_bytes())
        .map_err(|_| SignatureError::Wrong)?;
    Ok(Signer(key.0))
}

impl Signer {
    /// A line for Git's `gpg.ssh.allowedSignersFile`, for commits made by this address.
    pub fn allowed_signers_line(&self, email: &str) -> String {
        format!("{email} namespaces=\"{NAMESPACE}\" {self}")
    }
}

impl Signer {
    /// The trailer of a commit message that introduces this signer: who trusts the commit trusts
    /// signatures of this one from then on.
    pub fn introduction(&self) -> String {
        format!("{INTRODUCTION}: {self}")
    }

    /// Whom a commit with this message introduces.
    pub fn introduced_by(message: &str) -> Option<Self> {
        trailer(message, INTRODUCTION)?.parse().ok()
    }
}

/// What a trailer of a message says. Only the last paragraph counts, where trailers are.
fn trailer<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let trailers = message.trim_end().rsplit("\n\n").next()?;
    trailers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = PublicKey::from(KeyData::Ed25519(Ed25519PublicKey(self.0)));
        f.write_str(&key.to_openssh().map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({self})")
    }
}

impl FromStr for Signer {
    type Err = InvalidSigner;

    /// Reads a key as it is printed; a comment behind it is allowed.
    fn from_str(text: &str) -> Result<Self, InvalidSigner> {
        if text.len() > LONGEST_SIGNER {
            return Err(InvalidSigner);
        }
        match PublicKey::from_openssh(text.trim()).map(|it| it.key_data().clone()) {
            Ok(KeyData::Ed25519(key)) => Ok(Self(key.0)),
            Ok(_) | Err(_) => Err(InvalidSigner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &[u8] = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nIt works.\n";

    fn key() -> SigningKey {
        let der = SigningKey::generate().expect("there is randomness");
        SigningKey::from_pkcs8_der(&der).expect("it was just made")
    }

    #[test]
    fn a_signature_says_whose_it_is() {
        let (key, other) = (key(), key());
        let signature = key.sign(COMMIT).expect("a key can sign");
        assert_eq!(verify(&signature, COMMIT), Ok(key.signer()));
        assert_ne!(key.signer(), other.signer());
    }

    #[test]
    fn a_signature_of_other_bytes_or_for_another_purpose_does_not_hold() {
        let key = key();
        let signature = key.sign(COMMIT).expect("a key can sign");
        assert_eq!(verify(&signature, b"other"), Err(SignatureError::Wrong));
        assert_eq!(verify("", COMMIT), Err(SignatureError::Unreadable));
        assert_eq!(verify(&"x".repeat(10_000), COMMIT), Err(SignatureError::Unreadable));
        let cut = &signature[..signature.len() / 2];
        assert_eq!(verify(cut, COMMIT), Err(SignatureError::Unreadable));

        let data = SshSig::signed_data("file", HashAlg::Sha512, COMMIT).expect("bytes");
        let raw = key.0.sign(&data).as_ref().to_vec();
        let raw = Signature::new(Algorithm::Ed25519, raw).expect("64 bytes");
        let public = KeyData::Ed25519(Ed25519PublicKey(key.signer().0));
        let for_files = SshSig::new(public, "file", HashAlg::Sha512, raw)
            .and_then(|it| it.to_pem(LineEnding::LF))
            .expect("it can be written");
        assert_eq!(verify(&for_files, COMMIT), Err(SignatureError::Namespace));
    }

    #[test]
    fn a_signer_is_introduced_by_the_trailers_of_a_message_alone() {
        let signer = key().signer();
        let trailer = signer.introduction();
        let introduced = Signer::introduced_by(&format!("Subject\n\nBody.\n\nA: b\n{trailer}\n"));
        assert_eq!(introduced, Some(signer));
        assert_eq!(Signer::introduced_by(&format!("Subject\n\n{trailer}\n\nA: b\n")), None);
        assert_eq!(Signer::introduced_by(""), None);
    }

    #[test]
    fn a_signer_is_read_as_it_is_printed() {
        let signer = key().signer();
        assert_eq!(signer.to_string().parse(), Ok(signer.clone()));
        assert_eq!(format!("{signer} a comment").parse(), Ok(signer.clone()));
        for bad in ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa AAAAB3NzaC1yc2E="] {
            assert_eq!(bad.parse::<Signer>(), Err(InvalidSigner), "{bad}");
        }
        assert!(!format!("{:?}", key()).contains(&signer.to_string()));
    }
}
