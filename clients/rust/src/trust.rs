//! Whether a connection failed because the other side is not trusted.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;

/// Says so where a certificate is not trusted and will not be, however often it is looked at: by an authority that is not known, or for
/// another name. One that has ended is renewed some day, and is no such case.
pub(crate) fn distrust(error: &(dyn StdError + 'static)) -> Option<String> {
    let causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.filter_map(tls).find_map(|told| match told {
        rustls::Error::InvalidCertificate(why) if !passes(why) => {
            Some(format!("the hub's certificate is not trusted: {why}"))
        }
        _ => None,
    })
}

/// What TLS says of itself; an I/O error is not the cause that it carries, but shows it.
fn tls<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let carried = || cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref();
    cause.downcast_ref().or_else(carried)
}

fn passes(why: &CertificateError) -> bool {
    matches!(
        why,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_will_not_pass_is_distrust() {
        let found = |why| {
            let inner = io::Error::other(rustls::Error::InvalidCertificate(why));
            distrust(&inner)
        };
        let told = found(CertificateError::UnknownIssuer).unwrap();
        assert_eq!(told, "the hub's certificate is not trusted: UnknownIssuer");
        assert!(found(CertificateError::NotValidForName).is_some());
        assert_eq!(found(CertificateError::Expired), None);
        assert_eq!(found(CertificateError::NotValidYet), None);
        assert_eq!(distrust(&io::Error::other("reset")), None);
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::BadCertificate);
        assert_eq!(distrust(&alert), None);
    }
}
