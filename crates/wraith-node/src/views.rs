//! The slots of a shared pool as one attachment's JavaScript sees them: an ArrayBuffer a slot, emptied before the slot leaves. And the
//! windows of a UMEM during a batch of frames, emptied before one of its frames goes back to the kernel.
//!
//! Only the isolate's own thread may write a slot that its JavaScript can see: `Buffer#toString('utf8')` of bytes that
//! another thread rewrites crashes the engine. So before a slot leaves, every view onto it must be empty.
//!
//! Where the engine has `ArrayBuffer#transfer()` (Node 22 and later) a slot keeps its memory's ArrayBuffer for good, under a *name*
//! that changes: leaving moves the memory to a new ArrayBuffer, which empties the one that JavaScript has, with all its
//! views; JavaScript gets the new one when the slot comes back. A journey costs about 200 ns, where making an
//! external ArrayBuffer and detaching it costs 600 to 700. Node 20 does that.
//!
//! User code can move the memory of what it was shown to an ArrayBuffer of its own, even to another thread. Then the name is
//! empty, or is not the slot's any more, when the slot is to leave: it does not, ever, and the slab is never unmapped.
#![allow(unsafe_code, reason = "shows slots to JavaScript, and takes them out of its sight")]

use std::cell::{Cell, RefCell};
use std::ffi;
use std::ptr;
use std::sync::Arc;

use napi::sys;
use wraith_transport::memory::Slab;
use wraith_transport::{Code, Error};

use crate::raw::{self, Env, Value, check, internal};
use crate::sentinel;

/// JavaScript has the name.
const SHOWN: u8 = 1;
/// The memory was found to be moved, before the end of the environment emptied every name.
const MOVED: u8 = 2;

/// What has a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Areas {
    /// Each slot.
    Slots,
    /// So many bytes of the slab each, as if they were one slot.
    Windows(usize),
}

/// The names of the slots. Neither the names nor their memory hold the slab: this does.
pub(crate) struct Views {
    env: Env,
    slab: Arc<Slab>,
    areas: Areas,
    /// `ArrayBuffer.prototype.transfer`; null where there is none.
    transfer: Cell<sys::napi_ref>,
    /// Strong references; null: the slot has no name here.
    names: RefCell<Vec<sys::napi_ref>>,
    flags: RefCell<Vec<u8>>,
    /// The environment is emptying every name: what was moved is noted in the flags.
    noted: Cell<bool>,
    /// The slab is never unmapped: user code has moved some of it out of reach.
    leaked: Cell<bool>,
}

/// What became of a slot that is to leave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// JavaScript cannot see it any more.
    Unseen,
    /// User code has moved its memory: it may be seen for ever.
    Moved,
}

impl Views {
    pub(crate) fn new(env: Env, slab: &Arc<Slab>) -> Result<Views, Error> {
        Views::over(env, slab, Areas::Slots)
    }

    /// The slab in windows of so many bytes, the last one as long as it is.
    pub(crate) fn windows(env: Env, slab: &Arc<Slab>, bytes: usize) -> Result<Views, Error> {
        Views::over(env, slab, Areas::Windows(bytes))
    }

    fn over(env: Env, slab: &Arc<Slab>, areas: Areas) -> Result<Views, Error> {
        let count = match areas {
            Areas::Slots => slab.count() as usize,
            Areas::Windows(bytes) => slab.len().div_ceil(bytes),
        };
        Ok(Views {
            env,
            slab: Arc::clone(slab),
            areas,
            transfer: Cell::new(transfer_function(env)?),
            names: RefCell::new(vec![ptr::null_mut(); count]),
            flags: RefCell::new(vec![0; count]),
            noted: Cell::new(false),
            leaked: Cell::new(false),
        })
    }

    /// Whether names outlive journeys. If not, they must be looked at before the end of the environment empties them.
    pub(crate) fn keeps_names(&self) -> bool {
        !self.transfer.get().is_null()
    }

    /// The slot's ArrayBuffer, exactly its bytes, for a slot that is this isolate's. `None`: JavaScript had it, and user code
    /// has moved its memory.
    pub(crate) fn show(&self, slot: u32) -> Result<Option<Value>, Error> {
        let at = slot as usize;
        let (name, flags) = match (self.names.borrow().get(at), self.flags.borrow().get(at)) {
            (Some(&name), Some(&flags)) => (name, flags),
            _ => return Err(internal("a slot that the pool does not have")),
        };
        if !name.is_null() {
            let value = self.value_of(name);
            if self.is_whole(slot, value) {
                self.flags.borrow_mut()[at] = flags | SHOWN;
                return Ok(Some(value));
            }
            return Ok(None);
        }
        let Some(made) = self.make(slot)? else {
            self.leak();
            return Ok(None);
        };
        self.names.borrow_mut()[at] = reference(self.env, made)?;
        self.flags.borrow_mut()[at] = SHOWN;
        Ok(Some(made))
    }

    /// Takes a slot out of JavaScript's sight. Cheap when it has not seen it since it came.
    pub(crate) fn hide(&self, slot: u32) -> Left {
        let at = slot as usize;
        if self.flags.borrow().get(at).is_none_or(|flags| flags & SHOWN == 0) {
            return Left::Unseen;
        }
        let flags = std::mem::take(&mut self.flags.borrow_mut()[at]);
        if self.noted.get() {
            // The name is empty, or will be before JavaScript runs again; `end` lets go of it.
            if flags & MOVED == 0 {
                return Left::Unseen;
            }
            self.leak();
            return Left::Moved;
        }
        let name = std::mem::replace(&mut self.names.borrow_mut()[at], ptr::null_mut());
        let scope = Scope::open(self.env);
        let shown = self.value_of(name);
        let left = if self.is_whole(slot, shown) {
            match self.rename(slot, shown) {
                Some(renamed) => {
                    self.names.borrow_mut()[at] = renamed;
                    Left::Unseen
                }
                None => self.detach(slot, shown),
            }
        } else {
            Left::Moved
        };
        drop(scope);
        delete(self.env, name);
        if left == Left::Moved {
            self.leak();
        }
        left
    }

    /// Notes which slots were moved, as long as that can be told: for runtimes that empty every name when the environment
    /// ends, before our hook.
    pub(crate) fn note_moved(&self) {
        self.noted.set(true);
        let _scope = Scope::open(self.env);
        for slot in self.shown() {
            let name = self.names.borrow()[slot as usize];
            if !self.is_whole(slot, self.value_of(name)) {
                self.flags.borrow_mut()[slot as usize] |= MOVED;
            }
        }
    }

    /// Takes every slot out of JavaScript's sight for good and returns those whose memory was moved. `noted`: by
    /// [`Views::note_moved`], since when names may have been emptied by others. Runs no JavaScript.
    pub(crate) fn end(&self, noted: bool) -> Vec<u32> {
        let scope = Scope::open(self.env);
        let shown: Vec<u32> = self.shown().collect();
        let moved = shown
            .into_iter()
            .filter(|&slot| {
                let at = slot as usize;
                let (name, flags) = (self.value_of(self.names.borrow()[at]), self.flags.borrow()[at]);
                if noted { flags & MOVED != 0 } else { !self.is_whole(slot, name) }
            })
            .collect::<Vec<_>>();
        let names = std::mem::take(&mut *self.names.borrow_mut());
        self.flags.borrow_mut().clear();
        for (slot, name) in (0..).zip(names).filter(|(_, name)| !name.is_null()) {
            let value = self.value_of(name);
            if self.is_whole(slot, value) {
                // SAFETY: an ArrayBuffer of this environment.
                unsafe { sys::napi_detach_arraybuffer(self.env, value) };
            }
            delete(self.env, name);
        }
        drop(scope);
        delete(self.env, self.transfer.replace(ptr::null_mut()));
        if !moved.is_empty() {
            self.leak();
        }
        moved
    }

    fn shown(&self) -> impl Iterator<Item = u32> {
        let flags = self.flags.borrow().clone();
        (0..).zip(flags).filter(|(_, flags)| flags & SHOWN != 0).map(|(slot, _)| slot)
    }

    fn leak(&self) {
        if !self.leaked.replace(true) {
            std::mem::forget(Arc::clone(&self.slab));
        }
    }

    /// Null when the reference is.
    fn value_of(&self, name: sys::napi_ref) -> Value {
        let mut value = ptr::null_mut();
        if !name.is_null() {
            // SAFETY: the reference is one of this environment's that was not deleted.
            unsafe { sys::napi_get_reference_value(self.env, name, &mut value) };
        }
        value
    }

    /// Where what has the name lies, and how many bytes it has.
    fn area(&self, slot: u32) -> (*mut ffi::c_void, usize) {
        match self.areas {
            Areas::Slots => (self.slab.slot(slot).cast(), self.slab.slot_size()),
            Areas::Windows(bytes) => {
                let start = (slot as usize * bytes).min(self.slab.len());
                (self.slab.base().wrapping_add(start).cast(), bytes.min(self.slab.len() - start))
            }
        }
    }

    /// Whether the value is an ArrayBuffer over exactly the slot's bytes.
    fn is_whole(&self, slot: u32, value: Value) -> bool {
        let (mut data, mut len) = (ptr::null_mut(), 0);
        // SAFETY: Node refuses what is not an ArrayBuffer, null included, by status.
        let status = unsafe { sys::napi_get_arraybuffer_info(self.env, value, &mut data, &mut len) };
        status == sys::Status::napi_ok && (data, len) == self.area(slot)
    }

    /// A new ArrayBuffer over the slot. It is renamed at once where that can be: Node detaches what addons made when an
    /// environment ends, before our hook could see whether user code had moved it. `None`: what user code made of `transfer` has
    /// taken the memory.
    fn make(&self, slot: u32) -> Result<Option<Value>, Error> {
        let mut made = ptr::null_mut();
        let (data, len) = self.area(slot);
        // SAFETY: `self` holds the slab, and empties the ArrayBuffer before it lets go of it, or leaks it.
        let status = unsafe {
            sys::napi_create_external_arraybuffer(self.env, data, len, None, ptr::null_mut(), &mut made)
        };
        if status == sys::Status::napi_no_external_buffers_allowed {
            return Err(Error::new(Code::RuntimeUnsupported, "this runtime allows no external ArrayBuffers"));
        }
        check(status, "an external ArrayBuffer")?;
        if !self.keeps_names() {
            sentinel::post(self.env)?;
            return Ok(Some(made));
        }
        let renamed = self.call_transfer(slot, made);
        if renamed.is_none() && !raw::runs_javascript(self.env) && self.detach(slot, made) == Left::Unseen {
            // Terminated on the way: nobody has seen the slot, so that it is as good as before for others.
            return Err(internal("JavaScript, because the environment is ending"));
        }
        Ok(renamed)
    }

    /// Moves the memory to a new name.
    fn rename(&self, slot: u32, shown: Value) -> Option<sys::napi_ref> {
        if !self.keeps_names() {
            return None;
        }
        let renamed = self.call_transfer(slot, shown)?;
        reference(self.env, renamed).ok()
    }

    /// Whatever user code made of `transfer`, its result is used only if it has exactly this memory and the old one has
    /// none.
    fn call_transfer(&self, slot: u32, from: Value) -> Option<Value> {
        let mut renamed = ptr::null_mut();
        // SAFETY: all handles are of the current scope; a refusal is seen by status.
        let status = unsafe {
            sys::napi_call_function(
                self.env,
                from,
                self.value_of(self.transfer.get()),
                0,
                ptr::null(),
                &mut renamed,
            )
        };
        if status == sys::Status::napi_pending_exception {
            let mut thrown = ptr::null_mut();
            // SAFETY: as above.
            unsafe { sys::napi_get_and_clear_last_exception(self.env, &mut thrown) };
        }
        let moved = status == sys::Status::napi_ok && self.is_whole(slot, renamed);
        (moved && !self.is_whole(slot, from)).then_some(renamed)
    }

    fn detach(&self, slot: u32, shown: Value) -> Left {
        if !self.is_whole(slot, shown) {
            return Left::Moved;
        }
        // SAFETY: an ArrayBuffer of this environment.
        unsafe { sys::napi_detach_arraybuffer(self.env, shown) };
        if self.is_whole(slot, shown) { Left::Moved } else { Left::Unseen }
    }
}

/// A handle scope: names are taken out of sight in loops, and by callbacks that have none.
struct Scope {
    env: Env,
    scope: sys::napi_handle_scope,
}

impl Scope {
    fn open(env: Env) -> Scope {
        let mut scope = ptr::null_mut();
        // SAFETY: closed by `drop`, in the order of opening.
        unsafe { sys::napi_open_handle_scope(env, &mut scope) };
        Scope { env, scope }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // SAFETY: opened by `open`.
        unsafe { sys::napi_close_handle_scope(self.env, self.scope) };
    }
}

fn reference(env: Env, value: Value) -> Result<sys::napi_ref, Error> {
    let mut reference = ptr::null_mut();
    // SAFETY: the value is a handle of the current scope.
    check(unsafe { sys::napi_create_reference(env, value, 1, &mut reference) }, "a reference")?;
    Ok(reference)
}

fn delete(env: Env, reference: sys::napi_ref) {
    if !reference.is_null() {
        // SAFETY: each reference is deleted once, by whoever took it out of its place.
        unsafe { sys::napi_delete_reference(env, reference) };
    }
}

/// A reference to `ArrayBuffer.prototype.transfer`, or null.
fn transfer_function(env: Env) -> Result<sys::napi_ref, Error> {
    let (mut data, mut any, mut transfer, mut kind) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0);
    // SAFETY: the out-pointers live through the calls; the handles are of the current scope.
    unsafe {
        check(sys::napi_create_arraybuffer(env, 1, &mut data, &mut any), "an ArrayBuffer")?;
        check(sys::napi_get_named_property(env, any, c"transfer".as_ptr(), &mut transfer), "a property")?;
        check(sys::napi_typeof(env, transfer, &mut kind), "a type")?;
    }
    if kind == sys::ValueType::napi_function { reference(env, transfer) } else { Ok(ptr::null_mut()) }
}
