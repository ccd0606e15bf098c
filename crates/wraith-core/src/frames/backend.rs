//! Which instructions do the parsing: chosen once, can be forced, is reported.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use super::simd;

/// The environment variable that forces a backend for the whole process.
pub const VARIABLE: &str = "WRAITH_SIMD";

/// The ways to parse a batch. All give the same columns, byte for byte; they differ in speed.
///
/// Every name exists everywhere, so that configuration can be checked; which of them this CPU has is what
/// [`Backend::supported`] and [`Backend::available`] say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Plain Rust. Always there, and the oracle for the others.
    Scalar,
    /// x86-64: 128-bit vectors without byte shuffles. Always there on this architecture.
    Sse2,
    /// x86-64: 128-bit vectors with byte shuffles (SSSE3 and SSE4.1).
    Sse41,
    /// x86-64: 256-bit vectors.
    Avx2,
    /// x86-64: 512-bit vectors (AVX-512 F, BW, VL and DQ).
    Avx512,
    /// aarch64: 128-bit vectors. Always there on this architecture.
    Neon,
}

impl Backend {
    /// Every backend there is, slowest first within an architecture.
    pub const ALL: [Self; 6] = [Self::Scalar, Self::Sse2, Self::Sse41, Self::Avx2, Self::Avx512, Self::Neon];

    /// Its name, as `WRAITH_SIMD` and [`FromStr`] take it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Sse2 => "sse2",
            Self::Sse41 => "sse41",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }

    /// Whether this CPU and this build have it.
    #[must_use]
    pub fn is_supported(self) -> bool {
        self == Self::Scalar || simd::has(self)
    }

    /// The proof that this CPU and this build have it, which is what parsing takes.
    ///
    /// # Errors
    ///
    /// [`BackendError::Unsupported`], which says what there is.
    pub fn supported(self) -> Result<Supported, BackendError> {
        if self.is_supported() { Ok(Supported(self)) } else { Err(BackendError::Unsupported { asked: self }) }
    }

    /// What this CPU and this build have, slowest first. Never empty: [`Backend::Scalar`] is always there.
    pub fn available() -> impl Iterator<Item = Supported> {
        Self::ALL.into_iter().filter_map(|backend| backend.supported().ok())
    }

    /// The fastest that this CPU and this build have.
    #[must_use]
    pub fn best() -> Supported {
        Self::available().last().unwrap_or(Supported::SCALAR)
    }

    /// What the process uses: the one that `WRAITH_SIMD` names, or [`Backend::best`] when the variable is unset or
    /// empty. Chosen at the first call; a later change of the variable changes nothing.
    ///
    /// # Errors
    ///
    /// The variable holds no backend's name, or one that this CPU or build does not have.
    pub fn active() -> Result<Supported, &'static BackendError> {
        static ACTIVE: OnceLock<Result<Supported, BackendError>> = OnceLock::new();
        let chosen = ACTIVE.get_or_init(|| {
            let value = std::env::var_os(VARIABLE).unwrap_or_default();
            Self::named(&value.to_string_lossy())
        });
        chosen.as_ref().copied()
    }

    /// What [`Backend::active`] makes of the variable's value.
    fn named(value: &str) -> Result<Supported, BackendError> {
        if value.is_empty() { Ok(Self::best()) } else { value.parse::<Self>()?.supported() }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Backend {
    type Err = BackendError;

    /// The exact name, in lower case.
    fn from_str(name: &str) -> Result<Self, BackendError> {
        let known = Self::ALL.into_iter().find(|backend| backend.as_str() == name);
        known.ok_or_else(|| BackendError::Unknown { given: name.to_owned() })
    }
}

/// A backend that this CPU and this build have: made by [`Backend::supported`] and its like only, so that no safe
/// code can reach an instruction that the CPU lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Supported(Backend);

impl Supported {
    /// Plain Rust, which needs no proof.
    pub const SCALAR: Self = Self(Backend::Scalar);

    /// Which one it is.
    #[must_use]
    pub const fn backend(self) -> Backend {
        self.0
    }
}

/// Why a backend cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendError {
    /// No backend has this name.
    Unknown {
        /// What was given.
        given: String,
    },
    /// This CPU, or this build, does not have it.
    Unsupported {
        /// What was asked for.
        asked: Backend,
    },
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { given } => write!(f, "'{given}' is no backend")?,
            Self::Unsupported { asked } => write!(f, "this CPU or this build does not have '{asked}'")?,
        }
        f.write_str("; name one of: ")?;
        for (at, supported) in Backend::available().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { ", " }, supported.backend())?;
        }
        f.write_str(", or none for the fastest")
    }
}

impl std::error::Error for BackendError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for backend in Backend::ALL {
            assert_eq!(backend.as_str().parse(), Ok(backend));
            assert_eq!(backend.to_string(), backend.as_str());
        }
    }

    #[test]
    fn nothing_in_the_variable_means_the_fastest() {
        assert_eq!(Backend::named(""), Ok(Backend::best()));
    }

    #[test]
    fn each_available_backend_can_be_forced_and_no_other() {
        for backend in Backend::ALL {
            let forced = Backend::named(backend.as_str());
            if Backend::available().any(|supported| supported.backend() == backend) {
                assert_eq!(forced.map(Supported::backend), Ok(backend));
            } else {
                assert_eq!(forced, Err(BackendError::Unsupported { asked: backend }));
            }
        }
    }

    #[test]
    fn a_refusal_says_what_was_given_and_what_is_allowed() {
        let message = Backend::named("SSE4.2").unwrap_err().to_string();
        assert!(message.starts_with("'SSE4.2' is no backend; name one of: scalar"), "{message}");
        let absent = Backend::ALL.into_iter().find(|backend| !backend.is_supported());
        if let Some(absent) = absent {
            let message = absent.supported().unwrap_err().to_string();
            assert!(message.contains(&format!("does not have '{absent}'; name one of: scalar")), "{message}");
        }
    }
}
