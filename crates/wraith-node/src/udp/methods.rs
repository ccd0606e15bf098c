//! The functions of a socket's object.
#![allow(unsafe_code, reason = "sends bytes that JavaScript lends for the call")]

use std::net::IpAddr;
use std::rc::Rc;

use wraith_transport::memory::{Dirty, State};
use wraith_transport::udp::{
    Interface, NO_PEER, Received, Sent, SlotSend, SlotSent, SockAddr, UdpSocket, parse_address,
};
use wraith_transport::{Code, Error};

use super::{UdpBinding, closed, sharing, slots, values};
use crate::event_loop::{self, Source};
use crate::frames::{self, Kind};
use crate::raw::{self, Args, Env, Reply, Value};
use crate::waiting;

/// Puts every function on the object.
pub(super) fn install(env: Env, object: Value, this: &Rc<UdpBinding>) -> Result<(), Error> {
    let add = |name, run| raw::method(env, object, name, this, run);
    add(c"resume", |_, this, _| this.set_reading(true))?;
    add(c"pause", |_, this, _| this.set_reading(false))?;
    add(c"hold", |_, this, _| {
        this.on_loop.hold();
        Ok(Reply::Undefined)
    })?;
    add(c"receive", |_, this, _| this.receive())?;
    add(c"finish", |_, this, _| {
        this.finish();
        Ok(Reply::Undefined)
    })?;
    add(c"take", |_, this, args| this.take(args))?;
    add(c"parseFrames", |_, this, args| this.parse(Kind::Frames, args))?;
    add(c"explainFrame", |env, this, args| this.explain(env, Kind::Frames, args))?;
    add(c"parsePackets", |_, this, args| this.parse(Kind::Packets, args))?;
    add(c"explainPacket", |env, this, args| this.explain(env, Kind::Packets, args))?;
    add(c"missing", |_, this, _| this.missing())?;
    add(c"shed", |_, this, args| this.shed(args))?;
    add(c"source", |env, this, args| this.source(env, args))?;
    add(c"send", |_, this, args| this.send(args))?;
    add(c"sendSlot", |_, this, args| this.send_slot(args))?;
    add(c"connect", |_, this, args| this.connect(args))?;
    add(c"disconnect", |_, this, _| done(this.socket()?.disconnect()))?;
    add(c"address", |env, this, _| values::address(env, &this.socket()?.local_addr()?).map(Reply::Value))?;
    add(c"remoteAddress", |env, this, _| {
        values::address(env, &this.socket()?.peer_addr()?).map(Reply::Value)
    })?;
    add(c"membership", |_, this, args| this.membership(args))?;
    add(c"setBroadcast", |_, this, args| done(this.socket()?.set_broadcast(args.bool(0)?)))?;
    add(c"setTtl", |_, this, args| done(this.socket()?.set_ttl(args.u32(0)?)))?;
    add(c"setMulticastTtl", |_, this, args| done(this.socket()?.set_multicast_ttl(args.u32(0)?)))?;
    add(c"setMulticastLoopback", |_, this, args| done(this.socket()?.set_multicast_loopback(args.bool(0)?)))?;
    add(c"setMulticastInterface", |_, this, args| {
        let socket = this.socket()?;
        done(socket.set_multicast_interface(interface(&socket, args.text(0))?))
    })?;
    add(c"bufferSizes", |env, this, _| this.buffer_sizes(env))?;
    add(c"metrics", |env, this, _| this.metrics(env))?;
    add(c"setRef", |_, this, args| {
        this.on_loop.set_ref(args.bool(0)?);
        waiting::keep_alive(&**this);
        Ok(Reply::Undefined)
    })?;
    add(c"hasRef", |_, this, _| Ok(Reply::Bool(this.on_loop.has_ref())))?;
    add(c"close", |_, this, _| {
        event_loop::close(&**this);
        Ok(Reply::Undefined)
    })?;
    slots::install(env, object, this)?;
    sharing::install(env, object, this)
}

fn done(result: Result<(), Error>) -> Result<Reply, Error> {
    result.map(|()| Reply::Undefined)
}

fn ip(socket: &UdpSocket, text: Option<String>) -> Result<Option<IpAddr>, Error> {
    text.map(|text| Ok(parse_address(&text, 0, socket.family())?.ip())).transpose()
}

fn interface(socket: &UdpSocket, text: Option<String>) -> Result<Interface, Error> {
    text.map_or(Ok(Interface::Default), |text| Interface::parse(&text, socket.family()))
}

/// Arguments `at` and `at + 1` as port and address; no address means the connected peer.
fn destination(socket: &UdpSocket, args: &Args, at: usize) -> Result<Option<SockAddr>, Error> {
    let Some(text) = args.text(at + 1) else { return Ok(None) };
    let port = u16::try_from(args.u32(at)?)
        .map_err(|_| Error::new(Code::InvalidAddress, "a port is a number from 1 to 65535"))?;
    let address = parse_address(&text, port, socket.family())?;
    socket.destination(address).map(Some)
}

impl UdpBinding {
    fn set_reading(&self, reading: bool) -> Result<Reply, Error> {
        self.socket()?;
        if reading {
            self.check_lease()?;
        }
        done(self.on_loop.set_reading(reading))
    }

    /// One batch, without waiting: its rows, 0 when there is nothing, -1 when there is no slot to receive into.
    fn receive(&self) -> Result<Reply, Error> {
        self.check_lease()?;
        match self.with_receiver(|receiver| Ok(receiver.receive()))? {
            Received::Rows { rows, .. } => {
                self.on_loop.batch_begins();
                Ok(Reply::Number(rows as f64))
            }
            Received::Empty => Ok(Reply::Number(0.0)),
            Received::Starved => Ok(Reply::Number(-1.0)),
            Received::Failed(error) => Err(error),
        }
    }

    /// Moves a row's slot to this isolate, and posts `replacement` (a cached slot of this isolate) in its place.
    fn take(&self, args: &Args) -> Result<Reply, Error> {
        let row = args.u32(0)? as usize;
        let mine = (State::Cached, self.pool.owner);
        self.with_receiver(|receiver| {
            let slot = receiver.rows().get(row).map(|row| row.slot);
            receiver.take(row, mine)?;
            slot.map(Reply::Index).ok_or_else(closed)
        })
        .inspect(|_| {
            // The receiver fills its vector from the pool's free list: a spare that this isolate has goes there.
            if let Some(spare) = args.index(1) {
                // A refused number is not this isolate's slot, and stays where it is.
                let _ = self.give_spare(spare);
            }
        })
    }

    /// `(block, backend?)`: the rows of the batch that is out, wherever JavaScript thinks that they are.
    fn parse(&self, kind: Kind, args: &Args) -> Result<Reply, Error> {
        self.with_receiver(|receiver| frames::parse_rows(kind, receiver, 0, args).map(Reply::Index))
    }

    /// `(row)`: what is wrong with it, if anything.
    fn explain(&self, env: Env, kind: Kind, args: &Args) -> Result<Reply, Error> {
        self.with_receiver(|receiver| frames::explain_row(env, kind, receiver, args.u32(0)?))
    }

    /// How many slots the receiver would take from the pool now, beyond those that are free there.
    fn missing(&self) -> Result<Reply, Error> {
        let free = self.pool.core.available() as usize;
        self.with_receiver(|receiver| {
            let wanted = receiver.batch_size() - receiver.held().min(receiver.batch_size());
            Ok(Reply::Index(wanted.saturating_sub(free) as u32))
        })
    }

    /// Gives posted slots back to the pool until `keep` are left.
    fn shed(&self, args: &Args) -> Result<Reply, Error> {
        let keep = args.u32(0)? as usize;
        waiting::stop_waiting(self);
        self.with_receiver(|receiver| Ok(Reply::Index(receiver.shed(keep) as u32)))
    }

    /// The address of a row, for peers that JavaScript has not cached.
    fn source(&self, env: Env, args: &Args) -> Result<Reply, Error> {
        let row = args.u32(0)? as usize;
        let source = self.with_receiver(|receiver| {
            let peer = receiver.rows().get(row).map(|row| row.peer);
            match peer {
                Some(NO_PEER) => Ok(receiver.source(row)),
                Some(id) => Ok(receiver.peer(id).map_or_else(|| receiver.source(row), |(name, _)| name)),
                None => Err(Error::new(Code::OutOfRange, format!("the batch has no row {row}"))),
            }
        })?;
        let address = source
            .to_socket_addr()
            .ok_or_else(|| Error::new(Code::Internal, "a packet came from no address"))?;
        values::address(env, &address).map(Reply::Value)
    }

    /// `(bytes, port, address?, segment?)`.
    fn send(&self, args: &Args) -> Result<Reply, Error> {
        let socket = self.socket()?;
        let to = destination(&socket, args, 1)?;
        if self.sends.borrow().as_ref().is_some_and(|sends| !sends.is_empty()) {
            // Order is kept: slots that wait go first.
            return self.wait_writable();
        }
        let bytes = args.bytes(0)?;
        let segment = args.index(3);
        // SAFETY: JavaScript lends the bytes for this call and cannot run, move or free them before it returns.
        let sent = unsafe {
            match segment {
                None => socket.send_raw(bytes.data, bytes.len, to.as_ref()),
                Some(size) => {
                    let size = u16::try_from(size).unwrap_or(u16::MAX);
                    socket.send_segments_raw(bytes.data, bytes.len, size, to.as_ref())
                }
            }
        };
        match sent? {
            Sent::Done => Ok(Reply::Bool(true)),
            Sent::WouldBlock => self.wait_writable(),
        }
    }

    fn wait_writable(&self) -> Result<Reply, Error> {
        self.on_loop.await_room()?;
        Ok(Reply::Bool(false))
    }

    /// Sends a slot of this isolate: 1 sent and home, 2 queued (native has it), 0 refused (the caller has
    /// it), 3 its memory was moved by user code, and it is out of use. A shared pool's slot is out of JavaScript's sight then.
    fn send_slot(&self, args: &Args) -> Result<Reply, Error> {
        let socket = self.socket()?;
        let send = SlotSend {
            slot: args.u32(0)?,
            from: (State::Cached, self.pool.owner),
            len: args.u32(1)?,
            dirty: Dirty::All,
            to: destination(&socket, args, 2)?,
        };
        if self.sends.borrow().is_none() {
            return Err(closed());
        }
        if !self.let_leave(send.slot)? {
            return Ok(Reply::Index(3));
        }
        let sent = match &mut *self.sends.borrow_mut() {
            Some(sends) => sends.send(&self.pool.core, send)?,
            None => return Err(closed()),
        };
        match sent {
            SlotSent::Done => Ok(Reply::Index(1)),
            SlotSent::Queued => self.wait_writable().map(|_| Reply::Index(2)),
            SlotSent::Full => self.wait_writable().map(|_| Reply::Index(0)),
        }
    }

    fn connect(&self, args: &Args) -> Result<Reply, Error> {
        let socket = self.socket()?;
        let port = u16::try_from(args.u32(0)?)
            .map_err(|_| Error::new(Code::InvalidAddress, "a port is a number from 1 to 65535"))?;
        let text =
            args.text(1).ok_or_else(|| Error::new(Code::InvalidArgType, "address must be a string"))?;
        done(socket.connect(parse_address(&text, port, socket.family())?))
    }

    /// `(join, group, source?, interface?)`.
    fn membership(&self, args: &Args) -> Result<Reply, Error> {
        let socket = self.socket()?;
        let join = args.bool(0)?;
        let group = ip(&socket, args.text(1))?
            .ok_or_else(|| Error::new(Code::InvalidArgType, "a multicast group must be a string"))?;
        let source = ip(&socket, args.text(2))?;
        let interface = interface(&socket, args.text(3))?;
        done(match (join, source) {
            (true, None) => socket.join(group, interface),
            (false, None) => socket.leave(group, interface),
            (true, Some(source)) => socket.join_source(source, group, interface),
            (false, Some(source)) => socket.leave_source(source, group, interface),
        })
    }

    fn buffer_sizes(&self, env: Env) -> Result<Reply, Error> {
        let socket = self.socket()?;
        let object = raw::object(env)?;
        raw::set(env, object, c"recv", values::buffer_size(env, &socket.recv_buffer()?)?)?;
        raw::set(env, object, c"send", values::buffer_size(env, &socket.send_buffer()?)?)?;
        Ok(Reply::Value(object))
    }

    fn metrics(&self, env: Env) -> Result<Reply, Error> {
        let socket = self.socket()?;
        let queued = self.sends.borrow().as_ref().map_or(0, |sends| sends.len());
        values::metrics(env, &socket.metrics().snapshot(), socket.kernel_drops()?, queued).map(Reply::Value)
    }
}
