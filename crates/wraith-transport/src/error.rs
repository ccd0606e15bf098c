//! One list of stable error codes for Rust, TypeScript and the documentation.
//!
//! `cargo run -p wraith-transport --example codes` prints this list as JSON; `scripts/generate.mjs` turns it
//! into the TypeScript union and `docs/errors.md`, and the tests demand that both are up to date.

use std::fmt;

macro_rules! codes {
    ($($variant:ident = $name:literal, $summary:literal, $remedy:literal;)*) => {
        /// The stable code of an [`Error`]. A code never changes its meaning; new ones may be added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $summary] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as users see it, `WRAITH_ERR_…`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// When this code is given: one sentence.
            pub const fn summary(self) -> &'static str {
                match self { $(Code::$variant => $summary,)* }
            }

            /// The one thing to do about it; every message with this code ends with it or with something
            /// more specific.
            pub const fn remedy(self) -> &'static str {
                match self { $(Code::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    InvalidArgType = "WRAITH_ERR_INVALID_ARG_TYPE",
        "An argument or option has the wrong type.",
        "Pass a value of the named type.";
    OutOfRange = "WRAITH_ERR_OUT_OF_RANGE",
        "A number, size or index lies outside what is allowed, or a string is none of the allowed words.",
        "Choose a value from the range in the message.";
    UnknownOption = "WRAITH_ERR_UNKNOWN_OPTION",
        "An options object has a name that this call does not know.",
        "Remove the option or correct its spelling.";
    InvalidAddress = "WRAITH_ERR_INVALID_ADDRESS",
        "A network address or a port cannot be used here.",
        "Pass an IP address of the socket's family; resolve host names first.";
    SharedMemory = "WRAITH_ERR_SHARED_MEMORY",
        "Bytes were given that lie in a SharedArrayBuffer or a resizable ArrayBuffer: they could change while they are used.",
        "Copy the bytes into an ordinary Uint8Array first.";
    Detached = "WRAITH_ERR_DETACHED",
        "The memory of columns was transferred away.",
        "Make new columns, and transfer copies of them.";
    InvalidFrame = "WRAITH_ERR_INVALID_FRAME",
        "Bytes are not a frame of the WRAITH protocol; `field`, `offset`, `needed` and `present` say why.",
        "Pass the bytes of one whole frame.";
    NoMemory = "WRAITH_ERR_NO_MEMORY",
        "The memory that was asked for cannot be had.",
        "Ask for a smaller capacity or bufferSize.";
    PoolExhausted = "WRAITH_ERR_POOL_EXHAUSTED",
        "Every slot is in use and the pool may not allocate another buffer.",
        "Dispose of guards sooner, or make the pool larger.";
    PoolClosed = "WRAITH_ERR_POOL_CLOSED",
        "The pool was closed.",
        "Acquire before close(), or make a new pool.";
    PoolInUse = "WRAITH_ERR_POOL_IN_USE",
        "A source still receives into the pool.",
        "Close the named source first.";
    StaleBuffer = "WRAITH_ERR_STALE_BUFFER",
        "A guard was used after it had been disposed, sent or transferred.",
        "Use a guard only until you dispose of it or give it away.";
    ForeignBuffer = "WRAITH_ERR_FOREIGN_BUFFER",
        "A guard was given to a pool that it does not come from.",
        "Release a guard to the pool that it was acquired from.";
    NotShared = "WRAITH_ERR_NOT_SHARED",
        "Something that only shared pools can do was asked of a private one.",
        "Make the pool with { shared: true }.";
    StaleTicket = "WRAITH_ERR_STALE_TICKET",
        "A ticket was adopted that was adopted, cancelled or taken back before.",
        "Adopt a ticket once, before its pool's ticketTimeout has passed.";
    StaleToken = "WRAITH_ERR_STALE_TOKEN",
        "A token refers to nothing that is alive in this process.",
        "Keep what was shared alive until the other side has attached, and share within one process.";
    StaleBatch = "WRAITH_ERR_STALE_BATCH",
        "A batch was used after it had ended.",
        "Use batch.copy(i) or batch.take(i) for what must outlive the batch.";
    Busy = "WRAITH_ERR_BUSY",
        "The source already has a consumer.",
        "Stop the first consumer before starting another.";
    SocketClosed = "WRAITH_ERR_SOCKET_CLOSED",
        "The socket was closed.",
        "Open a new one.";
    ChannelClosed = "WRAITH_ERR_CHANNEL_CLOSED",
        "The channel was closed.",
        "Make a new channel.";
    AddressInUse = "WRAITH_ERR_ADDRESS_IN_USE",
        "Another socket is bound to this address and port.",
        "Choose another port, or set reusePort on every socket that shares it.";
    AddressNotAvailable = "WRAITH_ERR_ADDRESS_NOT_AVAILABLE",
        "This machine has no such address or interface.",
        "Bind to an address that this machine has, or to 0.0.0.0 or ::.";
    Permission = "WRAITH_ERR_PERMISSION",
        "The operating system does not permit this.",
        "Give the process the right named in the message.";
    MessageTooLarge = "WRAITH_ERR_MESSAGE_TOO_LARGE",
        "A datagram is larger than the protocol or the path allows.",
        "Send at most 65507 bytes (IPv4) or 65527 bytes (IPv6), or less.";
    NotConnected = "WRAITH_ERR_NOT_CONNECTED",
        "A datagram was sent without a destination on a socket that is not connected.",
        "Pass port and address, or connect() first.";
    AlreadyConnected = "WRAITH_ERR_ALREADY_CONNECTED",
        "The socket is connected: it can neither connect again nor send elsewhere.",
        "disconnect() first.";
    QueueFull = "WRAITH_ERR_QUEUE_FULL",
        "The send buffer and the queue of guards behind it are full.",
        "Wait for 'drain' before sending more.";
    Aborted = "WRAITH_ERR_ABORTED",
        "The AbortSignal that was passed has fired.",
        "Nothing to do: the signal's reason is the error's cause.";
    System = "WRAITH_ERR_SYSTEM",
        "A system call failed; `errno` and `syscall` say which and how.",
        "Look the errno up in the system call's manual page.";
    Unsupported = "WRAITH_ERR_UNSUPPORTED",
        "This platform or kernel does not have the feature.",
        "Leave the feature off, or run on a system that has it.";
    RuntimeUnsupported = "WRAITH_ERR_RUNTIME_UNSUPPORTED",
        "This JavaScript runtime does not offer what packet I/O needs from Node.js.",
        "Run on Node.js 20.19 or newer.";
    NativeMissing = "WRAITH_ERR_NATIVE_MISSING",
        "The prebuilt binary for this platform is not installed.",
        "Install the package named in the message.";
    Internal = "WRAITH_ERR_INTERNAL",
        "Something happened that must not happen.",
        "Report it with the message.";
}

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong: a stable [`Code`], a sentence for people, and the errno and system call when there was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Code,
    message: String,
    system: Option<(&'static str, i32)>,
}

impl Error {
    /// An error whose message says what was given and what is allowed. The code's remedy is appended unless
    /// the message already ends with it.
    pub fn new(code: Code, what: impl Into<String>) -> Error {
        let what = what.into();
        Error::with_remedy(code, what, code.remedy())
    }

    /// As [`Error::new`], with a remedy that is more specific than the code's own.
    pub fn with_remedy(code: Code, what: impl Into<String>, remedy: &str) -> Error {
        let mut message = what.into();
        if !message.ends_with(['.', '!', '?']) {
            message.push('.');
        }
        if !message.ends_with(remedy) {
            message.push(' ');
            message.push_str(remedy);
        }
        Error { code, message, system: None }
    }

    /// A refused system call: the code follows from the errno where there is a more telling one than
    /// [`Code::System`].
    pub fn system(syscall: &'static str, errno: i32, what: impl fmt::Display) -> Error {
        let code = match errno {
            libc::EADDRINUSE => Code::AddressInUse,
            libc::EADDRNOTAVAIL | libc::ENODEV => Code::AddressNotAvailable,
            libc::EACCES | libc::EPERM => Code::Permission,
            libc::ENOMEM => Code::NoMemory,
            libc::EMSGSIZE => Code::MessageTooLarge,
            libc::EDESTADDRREQ | libc::ENOTCONN => Code::NotConnected,
            libc::EISCONN => Code::AlreadyConnected,
            libc::EAFNOSUPPORT => Code::InvalidAddress,
            libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::ENOSYS => Code::Unsupported,
            _ => Code::System,
        };
        let reason = std::io::Error::from_raw_os_error(errno);
        let mut error = Error::new(code, format!("{what}: {syscall}: {reason}"));
        error.system = Some((syscall, errno));
        error
    }

    /// The same error with a remedy that fits better than the code's own.
    pub fn advise(mut self, remedy: &str) -> Error {
        if let Some(what) = self.message.strip_suffix(self.code.remedy()) {
            self.message = format!("{what}{remedy}");
        }
        self
    }

    /// As [`Error::system`] for the calling thread's last errno.
    pub fn last_system(syscall: &'static str, what: impl fmt::Display) -> Error {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Error::system(syscall, errno, what)
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The sentence for people; it ends with one thing to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The errno of the refused system call, if there was one.
    pub fn errno(&self) -> Option<i32> {
        self.system.map(|(_, errno)| errno)
    }

    /// The name of the refused system call, if there was one.
    pub fn syscall(&self) -> Option<&'static str> {
        self.system.map(|(name, _)| name)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}
