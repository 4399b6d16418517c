//! Signatures of requests, as Standard Webhooks say.

use super::super::trouble::lasting;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rejoin::Failure;
use sha2::Sha256;

/// What begins a secret that is written in base64.
const ENCODED: &str = "whsec_";

/// The headers that say which request it is and when it was made, and, with a secret, who has made it.
pub(in super::super) fn headers(
    id: &str,
    seconds: u64,
    body: &[u8],
    secret: Option<&str>,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut headers = vec![("webhook-id", id.to_owned()), ("webhook-timestamp", seconds.to_string())];
    if let Some(secret) = secret {
        headers.push(("webhook-signature", sign(id, seconds, body, secret)?));
    }
    Ok(headers)
}

fn sign(id: &str, seconds: u64, body: &[u8], secret: &str) -> Result<String, Failure> {
    let key = match secret.strip_prefix(ENCODED) {
        Some(encoded) => {
            STANDARD.decode(encoded).map_err(|_| lasting("bad-secret", "what follows whsec_ is no base64"))?
        }
        None => secret.as_bytes().to_vec(),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| lasting("bad-secret", "the key cannot sign"))?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_as_there() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = br#"{"test": 2432232314}"#;
        let signed = sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, secret).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_is_no_base64_is_named() {
        assert_eq!(sign("id", 1, b"", "whsec_*").unwrap_err().code(), "bad-secret");
        assert!(sign("id", 1, b"", "plain").unwrap().starts_with("v1,"));
    }
}
