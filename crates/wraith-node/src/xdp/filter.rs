//! Filters as JavaScript gives them. The facade has checked them for the message; they are checked here for safety.
#![allow(unsafe_code, reason = "a conversion trait of napi-rs")]

use napi::bindgen_prelude::FromNapiValue;
use napi_derive::napi;
use wraith_transport::xdp::{Addresses, Filter, Match, Ports, Prefix, Select};
use wraith_transport::{Code, Error};

use crate::raw::{Env, Value};

/// A set of frames; an empty list says nothing.
#[napi(object)]
pub struct XdpMatchOptions {
    /// UDP ports of the destination.
    pub udp_dst: Vec<u32>,
    /// UDP ports of the source.
    pub udp_src: Vec<u32>,
    /// TCP ports of the destination.
    pub tcp_dst: Vec<u32>,
    /// TCP ports of the source.
    pub tcp_src: Vec<u32>,
    /// Prefixes of the destination.
    pub addresses_dst: Vec<String>,
    /// Prefixes of the source.
    pub addresses_src: Vec<String>,
    /// EtherTypes.
    pub ether_types: Vec<u32>,
}

/// Which frames go to the socket.
#[napi(object)]
pub struct XdpFilterOptions {
    /// `all`, `none` or `matching`.
    pub select: String,
    /// What `matching` selects.
    pub rules: XdpMatchOptions,
    /// What stays with the kernel though selected.
    pub except: XdpMatchOptions,
    /// Keep for the kernel what a machine needs to stay reachable.
    pub keep_management: bool,
}

/// The filter that an argument of a raw function is.
pub(crate) fn from_value(env: Env, value: Value) -> Result<Filter, Error> {
    // SAFETY: a handle of the current call; what is no such object is refused.
    let options = unsafe { XdpFilterOptions::from_napi_value(env, value) };
    filter_of(&options.map_err(|error| Error::new(Code::InvalidArgType, error.reason.clone()))?)
}

/// The filter that the options are.
pub(crate) fn filter_of(options: &XdpFilterOptions) -> Result<Filter, Error> {
    let select = match options.select.as_str() {
        "all" => Select::All,
        "none" => Select::None,
        "matching" => Select::Matching(match_of(&options.rules)?),
        other => {
            let what = format!("select is \"{other}\"; allowed are all, none and matching");
            return Err(Error::new(Code::OutOfRange, what));
        }
    };
    Ok(Filter { select, except: match_of(&options.except)?, keep_management: options.keep_management })
}

fn match_of(options: &XdpMatchOptions) -> Result<Match, Error> {
    Ok(Match {
        udp_ports: Ports { dst: halves("port", &options.udp_dst)?, src: halves("port", &options.udp_src)? },
        tcp_ports: Ports { dst: halves("port", &options.tcp_dst)?, src: halves("port", &options.tcp_src)? },
        addresses: Addresses {
            src: prefixes(&options.addresses_src)?,
            dst: prefixes(&options.addresses_dst)?,
        },
        ether_types: halves("EtherType", &options.ether_types)?,
    })
}

fn halves(what: &str, numbers: &[u32]) -> Result<Vec<u16>, Error> {
    let half = |&number: &u32| {
        u16::try_from(number).map_err(|_| {
            Error::new(Code::OutOfRange, format!("The {what} {number} is too large; allowed are 0 to 65535"))
        })
    };
    numbers.iter().map(half).collect()
}

fn prefixes(texts: &[String]) -> Result<Vec<Prefix>, Error> {
    texts.iter().map(|text| text.parse()).collect()
}
