//! Networks in CIDR notation.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: an address, and how many of its bits are the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// The network that is written so; `None` where it is none.
    #[must_use]
    pub fn parse(cidr: &str) -> Option<Self> {
        let (address, length) = cidr.split_once('/')?;
        let (address, length) = (address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?);
        let network = Self { address, length };
        (length <= network.most()).then_some(network)
    }

    /// Bits of an address of its family.
    fn most(self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// The network's bits, at the low end.
    fn prefix(self) -> u128 {
        let bits = match self.address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        bits.checked_shr(u32::from(self.most() - self.length))
            .unwrap_or(0)
    }

    /// Whether its address has bits beyond its length: it is one within the
    /// network.
    #[must_use]
    pub fn has_host_bits(self) -> bool {
        self != self.without_host_bits()
    }

    /// The network itself.
    #[must_use]
    pub fn without_host_bits(self) -> Self {
        let bits = self
            .prefix()
            .checked_shl(u32::from(self.most() - self.length))
            .unwrap_or(0);
        let address = match self.address {
            // It has no more than 32 bits.
            IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or_default()).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
        };
        Self { address, ..self }
    }

    /// Whether it holds `part` and more.
    #[must_use]
    pub fn contains(self, part: Self) -> bool {
        let wider = Self {
            length: self.length,
            ..part
        };
        self.most() == part.most() && self.length < part.length && self.prefix() == wider.prefix()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(cidr: &str) -> Network {
        Network::parse(cidr).unwrap()
    }

    #[test]
    fn a_network_holds_what_is_within_it_and_is_of_its_family() {
        for (whole, part, held) in [
            ("0.0.0.0/0", "169.254.169.254/32", true),
            ("169.254.169.254/32", "169.254.169.254/32", false),
            ("10.0.0.0/8", "169.254.169.254/32", false),
            ("169.254.0.0/16", "169.254.169.254/32", true),
            ("::/0", "fd00:ec2::254/128", true),
            ("fd00:ec2::/32", "fd00:ec2::254/128", true),
            ("::/0", "169.254.169.254/32", false),
        ] {
            assert_eq!(
                network(whole).contains(network(part)),
                held,
                "{whole} {part}"
            );
        }
    }

    #[test]
    fn an_address_within_a_network_is_told_from_the_network() {
        for (written, plain) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("1.2.3.4/0", "0.0.0.0/0"),
            ("1.2.3.4/32", "1.2.3.4/32"),
            ("fd12::1/16", "fd12::/16"),
            ("::1/0", "::/0"),
            ("::1/128", "::1/128"),
        ] {
            let network = network(written);
            assert_eq!(network.without_host_bits().to_string(), plain);
            assert_eq!(network.has_host_bits(), written != plain, "{written}");
        }
        for wrong in ["10.0.0.0", "10.0.0.0/33", "::/129", "kafka/8", "10.0.0.0/"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
