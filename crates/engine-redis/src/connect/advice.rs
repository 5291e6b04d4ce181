//! What to do about a connection that cannot be made, where its error tells.

/// Parts of errors, of Redis and of TLS, and what to do about each.
const ADVICE: &[(&str, &str)] = &[
    (
        "WRONGPASS",
        "the user or the password is wrong: check `user` and `password`",
    ),
    (
        "NOAUTH",
        "the server asks for a password: set `password`, and `user` if it is not the default one's",
    ),
    (
        "NOPERM",
        "the user lacks a right: give it those that the reference lists at `user`",
    ),
    ("UnknownIssuer", ANOTHER_AUTHORITY),
    // By one that has the same name as one of ours.
    ("BadSignature", ANOTHER_AUTHORITY),
    (
        "NotValidForName",
        "the server's certificate is for another name: have it name the host as `servers` does, or as the cluster announces it",
    ),
    ("Expired", "the server's certificate has expired: renew it"),
    (
        "CertificateRequired",
        "the server asks for a certificate: set `tls_cert_file` and `tls_key_file`",
    ),
    (
        "InvalidContentType",
        "the server does not speak TLS on this port: check the port in `servers`, or leave `tls_ca_file` out",
    ),
];

const ANOTHER_AUTHORITY: &str = "none of the authorities in `tls_ca_file` has signed the server's certificate: check the file, and that this is the server";

/// An error with what to do about it.
pub(super) fn advise(error: &str) -> String {
    let known = ADVICE.iter().find(|(part, _)| error.contains(part));
    known.map_or_else(
        || error.to_owned(),
        |(_, advice)| format!("{advice} ({error})"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_is_known_comes_with_what_to_do_and_another_as_it_is() {
        let told = advise("WRONGPASS invalid username-password pair or user is disabled.");
        assert!(told.starts_with("the user or the password is wrong"));
        assert!(told.ends_with("(WRONGPASS invalid username-password pair or user is disabled.)"));
        assert_eq!(advise("connection refused"), "connection refused");
    }
}
