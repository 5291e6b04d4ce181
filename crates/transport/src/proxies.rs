//! Whose word is taken for a client's address.
//!
//! Anybody can send `X-Forwarded-For`. It is read only when the peer is a configured proxy, and from the right: each
//! proxy appends the address that it saw, so the first one from the right that is no trusted proxy is the client, and
//! whatever stands further left is the client's own invention.

use std::net::IpAddr;
use std::str::FromStr;

/// Addresses that share their first bits, for example `10.0.0.0/8`, `::1` or `192.0.2.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// The text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network: write an address, or an address and a prefix such as `10.0.0.0/8`")]
pub struct NetworkError(pub String);

/// The proxies in front of the hub. The default trusts none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<Network>,
}

impl Network {
    /// Whether `address` is in the network. An IPv4 address mapped into IPv6 is taken for the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.prefix_bits))
                    .unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.prefix_bits))
                    .unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let bad = || NetworkError(text.to_owned());
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => bits_max,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().map_err(|_| bad())?
            }
            Some(_) => return Err(bad()),
        };
        if prefix_bits > bits_max {
            Err(bad())
        } else {
            Ok(Self {
                address,
                prefix_bits,
            })
        }
    }
}

impl TrustedProxies {
    /// Trusts these networks.
    pub fn new(networks: Vec<Network>) -> Self {
        Self { networks }
    }

    /// Parses a list of networks.
    ///
    /// # Errors
    /// [`NetworkError`] of the first that is none.
    pub fn parse<T: AsRef<str>>(networks: &[T]) -> Result<Self, NetworkError> {
        networks
            .iter()
            .map(|text| text.as_ref().parse())
            .collect::<Result<_, _>>()
            .map(Self::new)
    }

    /// The client's address: the peer's, or what trusted proxies say of it. `forwarded_for` are the values of all
    /// `X-Forwarded-For` headers, in their order.
    pub fn client_ip<'a>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut client = peer.to_canonical();
        for entry in forwarded_for.rev().flat_map(|list| list.rsplit(',')) {
            if !self.trusts(client) {
                break;
            }
            // A trusted proxy that appends nonsense: what is known so far stands.
            let Some(address) = parse_entry(entry.trim()) else {
                break;
            };
            client = address.to_canonical();
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}

/// An address, bare or with a port, as some proxies append it.
fn parse_entry(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse().ok().or_else(|| {
        text.parse::<std::net::SocketAddr>()
            .ok()
            .map(|address| address.ip())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_what_shares_their_prefix() {
        let check = |network: &str, address: &str, expected: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                expected,
                "{network:?} {address}"
            );
        };
        check("10.0.0.0/8", "10.255.1.2", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.0/8", "::ffff:10.0.0.1", true);
        check("192.0.2.7", "192.0.2.7", true);
        check("192.0.2.7", "192.0.2.6", false);
        check("0.0.0.0/0", "203.0.113.1", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "2001:db8::1", true);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "ten",
            "10.0.0/8",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn forwarded_addresses_are_believed_as_far_as_proxies_are_trusted() {
        let proxies = TrustedProxies::parse(&["10.0.0.0/8", "::1"]).unwrap();
        let check = |peer: &str, headers: &[&str], expected: &str| {
            let client = proxies.client_ip(peer.parse().unwrap(), headers.iter().copied());
            assert_eq!(
                client,
                expected.parse::<IpAddr>().unwrap(),
                "{peer} {headers:?}"
            );
        };
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check(
            "10.0.0.1",
            &["1.2.3.4, 198.51.100.1, 10.0.0.2"],
            "198.51.100.1",
        );
        check(
            "10.0.0.1",
            &["1.2.3.4", "198.51.100.1", "10.0.0.2"],
            "198.51.100.1",
        );
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
        check("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1");
        check("::1", &["[2001:db8::1]:4711"], "2001:db8::1");
        check("::1", &["198.51.100.1:80"], "198.51.100.1");
        check("::1", &["[2001:db8::1]"], "2001:db8::1");
        assert_eq!(
            TrustedProxies::default()
                .client_ip("10.0.0.1".parse().unwrap(), ["1.2.3.4"].into_iter()),
            "10.0.0.1".parse::<IpAddr>().unwrap()
        );
    }
}
