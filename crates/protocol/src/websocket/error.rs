//! Why a client's bytes were refused, and the close code that tells it so.

/// A violation that ends the connection. The `Display` text is fit for the reason of the close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A reserved bit is set that no agreed extension defines, or RSV1 is set elsewhere than on a message's first frame.
    #[error("reserved bit set")]
    ReservedBit,
    /// Opcodes 3 to 7 and 11 to 15.
    #[error("reserved opcode")]
    ReservedOpcode,
    /// A continuation frame while no message is open.
    #[error("continuation without a message")]
    UnexpectedContinuation,
    /// A new message while another one is unfinished.
    #[error("message begun inside another")]
    ExpectedContinuation,
    /// A control frame without FIN.
    #[error("fragmented control frame")]
    FragmentedControl,
    /// A control frame of more than 125 bytes.
    #[error("control frame too long")]
    ControlTooLong,
    /// A client frame without a mask.
    #[error("frame is not masked")]
    NotMasked,
    /// A length that would have fitted a shorter form.
    #[error("length is not in its shortest form")]
    LengthNotMinimal,
    /// A 64-bit length with its highest bit set.
    #[error("length out of range")]
    LengthOutOfRange,
    /// A close frame of one byte.
    #[error("close frame of one byte")]
    CloseTruncated,
    /// A close code that must not be sent.
    #[error("invalid close code")]
    CloseCode,
    /// Text, or the reason of a close frame, that is not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// A compressed message that is not DEFLATE data.
    #[error("invalid compressed data")]
    Deflate,
    /// A message of more fragments than allowed.
    #[error("too many fragments")]
    TooManyFragments,
    /// A message longer than allowed, as sent or once inflated.
    #[error("message too big")]
    MessageTooBig,
}

impl DecodeError {
    /// The close code to send, for example 1002.
    pub fn close_code(self) -> u16 {
        match self {
            Self::ReservedBit
            | Self::ReservedOpcode
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::NotMasked
            | Self::LengthNotMinimal
            | Self::LengthOutOfRange
            | Self::CloseTruncated
            | Self::CloseCode => 1002,
            Self::Utf8 | Self::Deflate => 1007,
            Self::TooManyFragments => 1008,
            Self::MessageTooBig => 1009,
        }
    }
}
