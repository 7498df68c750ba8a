//! Pools of shared objects, and the lists and tables that link them.
//!
//! Objects come from a `pool_cache(9)`: each has a condition variable that
//! stays constructed while the object is free, reference counts, and one
//! link. With the link an object can be on one [`List`] or in one [`Table`]
//! at a time; neither allocates, so that linking cannot fail for want of
//! memory and can be done inside a lock. A pool may have room beside each object
//! for a few bytes that come and go with it.

use super::{count::Count, sys, CondVar, KBytes, Sleep};
use core::{
    cell::UnsafeCell,
    ffi::{c_int, c_void, CStr},
    marker::PhantomData,
    mem::{ManuallyDrop, MaybeUninit},
    ops::{Deref, Range},
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};

/// An object as the pool holds it.
#[repr(C)]
struct Slot<T> {
    /// What a [`Ref`] gives out; first, so that both have one address.
    value: UnsafeCell<MaybeUninit<T>>,
    /// Constructed with the slot and kept while it is free.
    cv: sys::pk_cv,
    /// References to the value.
    refs: Count,
    /// Which chain the object is on; 0: none. Written by the chain's owner.
    chain: AtomicU64,
    /// The neighbours and the key; the chain's owner reaches them.
    link: UnsafeCell<Link<T>>,
    keep: Keep,
}

/// What keeps a slot, whatever its object is.
pub(super) struct Keep {
    /// References to the slot: every [`Waker`], bytes in its room, and one for all
    /// those to the value.
    holds: Count,
    pool: *mut sys::pk_pool,
    /// The slot as the pool knows it, with its room.
    object: *mut c_void,
}

impl Keep {
    /// Gives a hold of a slot up; the last one gives the slot back to its pool.
    ///
    /// # Safety
    /// The caller has the hold, and does not use the slot any more.
    pub(super) unsafe fn release(keep: NonNull<Keep>) {
        // SAFETY: alive, since the caller holds it.
        let held = unsafe { keep.as_ref() };
        if held.holds.less() {
            // SAFETY: it came from that pool and is constructed as at the start:
            // the value is gone, and it is on no chain, for a chain has a
            // reference.
            unsafe { sys::pk_pool_put(held.pool, held.object) };
        }
    }
}

impl<T> Slot<T> {
    /// The condition variable, for as long as the slot is kept.
    fn cv(&self) -> ManuallyDrop<CondVar> {
        // SAFETY: constructed with the slot.
        ManuallyDrop::new(unsafe { CondVar::adopt(NonNull::from(&self.cv)) })
    }
}

struct Link<T> {
    prev: *mut Slot<T>,
    next: *mut Slot<T>,
    key: u64,
}

/// A pool of `T`, usable as a static: [`init`](Self::init) and
/// [`destroy`](Self::destroy) come from the module's life cycle.
pub struct Pool<T> {
    raw: AtomicPtr<sys::pk_pool>,
    /// How many bytes there are beside each object.
    room: usize,
    holds: PhantomData<fn(T) -> T>,
}

/// The memory beside an object that is about to be made.
pub struct Room<'a> {
    start: NonNull<u8>,
    len: usize,
    keep: NonNull<Keep>,
    lives: PhantomData<&'a ()>,
}

impl Room<'_> {
    /// `len` zeroed bytes, but for a hole, as [`KBytes::zeroed_but`]: there if they
    /// fit. Else they are from the kernel, and the room comes with them, not zeroed.
    pub fn bytes(
        self,
        hole: Range<usize>,
        len: usize,
        sleep: Sleep,
    ) -> Option<(KBytes, Option<KBytes>)> {
        if len == 0 || len > self.len {
            let bytes = KBytes::zeroed_but(hole, len, sleep)?;
            let all = self.len;
            return Some((bytes, self.first(all)));
        }
        let mut bytes = self.first(len)?;
        bytes.zero_but(hole);
        Some((bytes, None))
    }

    /// The first `len` bytes, as they are; `None` if there are not so many, or it is 0.
    fn first(self, len: usize) -> Option<KBytes> {
        if len == 0 || len > self.len {
            return None;
        }
        // SAFETY: the slot lives for as long as `self` may.
        unsafe { self.keep.as_ref() }.holds.more();
        // SAFETY: so many bytes are there, used by nobody, as an object has its
        // room to itself and `self` is gone; they stay until that hold is.
        Some(unsafe { KBytes::within(self.start, len, self.keep) })
    }
}

impl<T: Send + Sync> Pool<T> {
    /// A pool that cannot be used yet.
    pub const fn new() -> Pool<T> {
        Pool::with_room(0)
    }

    /// The same, with room for `room` bytes beside each object.
    pub const fn with_room(room: usize) -> Pool<T> {
        Pool {
            raw: AtomicPtr::new(ptr::null_mut()),
            room,
            holds: PhantomData,
        }
    }

    /// Makes the pool; `name` is what `vmstat -m` shows. May sleep.
    pub fn init(&self, name: &'static CStr) {
        // SAFETY: the functions construct and destruct slots of this size.
        let raw = unsafe {
            sys::pk_pool_create(
                size_of::<Slot<T>>() + self.room,
                name.as_ptr(),
                Some(construct::<T>),
                Some(destruct::<T>),
            )
        };
        self.raw.store(raw, Ordering::Release);
    }

    /// Destroys the pool. Every object must be back, else the kernel panics
    /// where it has diagnostics.
    pub fn destroy(&self) {
        let raw = self.raw.swap(ptr::null_mut(), Ordering::AcqRel);
        if !raw.is_null() {
            // SAFETY: made by `init`, and nobody can get an object any more.
            unsafe { sys::pk_pool_destroy(raw) };
        }
    }

    /// Takes an object out and fills it. `None` if memory is short or the
    /// pool is not there.
    pub fn get(&self, value: T, sleep: Sleep) -> Option<Ref<T>> {
        self.get_with(sleep, |_| Some(value))
    }

    /// The same with what `make` makes of the room beside the object. `None` if
    /// it makes nothing.
    pub fn get_with(
        &self,
        sleep: Sleep,
        make: impl FnOnce(Room<'_>) -> Option<T>,
    ) -> Option<Ref<T>> {
        let pool = self.raw.load(Ordering::Acquire);
        if pool.is_null() {
            return None;
        }
        // SAFETY: a live pool.
        let object = unsafe { sys::pk_pool_get(pool, sleep.allowed()) };
        let mut slot = NonNull::new(object)?.cast::<Slot<T>>();
        // SAFETY: a constructed slot that nobody else has.
        let fresh = unsafe { slot.as_mut() };
        fresh.refs = Count::one();
        fresh.keep = Keep {
            holds: Count::one(),
            pool,
            object,
        };
        let keep = NonNull::from(&fresh.keep);
        let room = Room {
            // SAFETY: the object is as much longer than a slot.
            start: unsafe { slot.add(1) }.cast(),
            len: self.room,
            keep,
            lives: PhantomData,
        };
        let Some(value) = make(room) else {
            // SAFETY: the hold that the references would have had in common.
            unsafe { Keep::release(keep) };
            return None;
        };
        // SAFETY: bytes in the room share nothing with this but the count.
        unsafe { slot.cast::<T>().write(value) };
        Some(Ref { slot })
    }
}

impl<T: Send + Sync> Default for Pool<T> {
    fn default() -> Self {
        Pool::new()
    }
}

extern "C" fn construct<T>(_arg: *mut c_void, object: *mut c_void, _flags: c_int) -> c_int {
    let slot = object.cast::<Slot<T>>();
    // SAFETY: the pool hands out raw memory of a slot's size and alignment.
    unsafe {
        slot.write(Slot {
            value: UnsafeCell::new(MaybeUninit::uninit()),
            cv: sys::pk_cv::default(),
            refs: Count::one(),
            chain: AtomicU64::new(0),
            link: UnsafeCell::new(Link {
                prev: ptr::null_mut(),
                next: ptr::null_mut(),
                key: 0,
            }),
            keep: Keep {
                holds: Count::one(),
                pool: ptr::null_mut(),
                object,
            },
        });
    }
    // SAFETY: the slot was just written.
    let cv = unsafe { &raw mut (*slot).cv };
    // SAFETY: storage for a condition variable; the name is static.
    unsafe { sys::pk_cv_init(cv, c"puffsrpl".as_ptr()) };
    0
}

extern "C" fn destruct<T>(_arg: *mut c_void, object: *mut c_void) {
    let slot = object.cast::<Slot<T>>();
    // SAFETY: a constructed slot.
    let cv = unsafe { &raw mut (*slot).cv };
    // SAFETY: constructed, and nobody waits on a free object.
    unsafe { sys::pk_cv_destroy(cv) };
}

/// A counted reference to an object of a [`Pool`]. The last one to go drops
/// the value and gives the object back.
pub struct Ref<T> {
    slot: NonNull<Slot<T>>,
}

// SAFETY: as for an `Arc`.
unsafe impl<T: Send + Sync> Send for Ref<T> {}
// SAFETY: as for an `Arc`.
unsafe impl<T: Send + Sync> Sync for Ref<T> {}

impl<T> Ref<T> {
    fn slot(&self) -> &Slot<T> {
        // SAFETY: alive, since `self` counts.
        unsafe { self.slot.as_ref() }
    }

    /// The value, if no other reference exists.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        if !self.slot().refs.is_one() {
            return None;
        }
        // SAFETY: the only reference, borrowed exclusively, to a value that was
        // written by `get`.
        Some(unsafe { &mut *self.value_ptr() })
    }

    /// The value alone, not the slot, which a [`Waker`] may look at.
    fn value_ptr(&self) -> *mut T {
        self.slot.as_ptr().cast()
    }

    /// The condition variable that comes with the object.
    pub fn cv(&self) -> ManuallyDrop<CondVar> {
        self.slot().cv()
    }

    /// What wakes a waiter when this reference is gone.
    pub fn waker(&self) -> Waker<T> {
        self.slot().keep.holds.more();
        Waker { slot: self.slot }
    }

    /// The address of the value, which tells one object from another.
    pub fn as_ptr(&self) -> *const T {
        self.value_ptr()
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        self.slot().refs.more();
        Ref { slot: self.slot }
    }
}

impl<T> Deref for Ref<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value was written by `get`, lives until the last reference
        // goes, and changes only where that is the only one.
        unsafe { &*self.value_ptr() }
    }
}

impl<T> Drop for Ref<T> {
    fn drop(&mut self) {
        if !self.slot().refs.less() {
            return;
        }
        // SAFETY: that was the last reference, so nobody else looks at the
        // value, which was written by `get`.
        unsafe { self.value_ptr().drop_in_place() };
        // SAFETY: the hold that the references to the value had in common.
        unsafe { Keep::release(NonNull::from(&self.slot().keep)) };
    }
}

/// Wakes who waits on the condition variable of an object, without a reference
/// to its value: who is woken may find that it has the only one.
pub struct Waker<T> {
    slot: NonNull<Slot<T>>,
}

// SAFETY: it reaches the condition variable only, which is made to be shared.
unsafe impl<T> Send for Waker<T> {}

impl<T> Waker<T> {
    /// Wakes one waiter.
    pub fn wake(self) {
        // SAFETY: alive, since `self` holds it.
        let slot = unsafe { self.slot.as_ref() };
        slot.cv().signal();
    }
}

impl<T> Drop for Waker<T> {
    fn drop(&mut self) {
        // SAFETY: alive, since `self` holds it.
        let slot = unsafe { self.slot.as_ref() };
        // SAFETY: the hold of `self`.
        unsafe { Keep::release(NonNull::from(&slot.keep)) };
    }
}

/// Names chains, so that an object knows which one it is on even when the
/// chain itself moves.
fn new_chain() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The head and tail of a chain of linked slots.
///
/// Invariant: the slots from `head` along `next` to `tail` carry the chain's
/// number, and the chain owns one reference to each.
struct Ends<T> {
    head: *mut Slot<T>,
    tail: *mut Slot<T>,
}

impl<T> Ends<T> {
    const EMPTY: Ends<T> = Ends {
        head: ptr::null_mut(),
        tail: ptr::null_mut(),
    };

    /// Appends `item` to the chain `number`, or gives it back if it is on one.
    fn push(&mut self, number: u64, key: u64, item: Ref<T>) -> Result<(), Ref<T>> {
        let chain = &item.slot().chain;
        if chain
            .compare_exchange(0, number, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return Err(item);
        }
        let slot = item.slot;
        core::mem::forget(item);
        let prev = self.tail;
        // SAFETY: the slot carries our number now.
        let link = unsafe { self.link(slot) };
        *link = Link {
            prev,
            next: ptr::null_mut(),
            key,
        };
        match NonNull::new(prev) {
            // SAFETY: the tail is on this chain.
            Some(tail) => unsafe { self.link(tail) }.next = slot.as_ptr(),
            None => self.head = slot.as_ptr(),
        }
        self.tail = slot.as_ptr();
        Ok(())
    }

    /// The link of a slot.
    ///
    /// # Safety
    /// The slot is on this chain.
    unsafe fn link(&mut self, slot: NonNull<Slot<T>>) -> &mut Link<T> {
        // SAFETY: alive, for the chain owns a reference.
        let slot = unsafe { slot.as_ref() };
        // SAFETY: the links of a chain are reached through its owner only,
        // and that is borrowed exclusively.
        unsafe { &mut *slot.link.get() }
    }

    /// Takes `slot` off.
    ///
    /// # Safety
    /// The slot is on this chain.
    unsafe fn unlink(&mut self, slot: NonNull<Slot<T>>) -> Ref<T> {
        // SAFETY: on this chain.
        let &mut Link { prev, next, .. } = unsafe { self.link(slot) };
        match NonNull::new(prev) {
            // SAFETY: a neighbour is on this chain too.
            Some(prev) => unsafe { self.link(prev) }.next = next,
            None => self.head = next,
        }
        match NonNull::new(next) {
            // SAFETY: a neighbour is on this chain too.
            Some(next) => unsafe { self.link(next) }.prev = prev,
            None => self.tail = prev,
        }
        // The chain's reference goes to the caller.
        let item = Ref { slot };
        item.slot().chain.store(0, Ordering::Release);
        item
    }

    /// The first that is `wanted`; it stays on the chain, whose reference this is.
    fn find(&mut self, wanted: impl Fn(&T) -> bool) -> Option<ManuallyDrop<Ref<T>>> {
        let mut next = self.head;
        while let Some(slot) = NonNull::new(next) {
            let item = ManuallyDrop::new(Ref { slot });
            if wanted(&item) {
                return Some(item);
            }
            // SAFETY: on this chain.
            next = unsafe { self.link(slot) }.next;
        }
        None
    }

    fn pop(&mut self) -> Option<Ref<T>> {
        let head = NonNull::new(self.head)?;
        // SAFETY: the head is on this chain.
        Some(unsafe { self.unlink(head) })
    }
}

/// A queue of references, in order. Every operation takes constant time.
pub struct List<T> {
    ends: Ends<T>,
    number: u64,
    len: usize,
}

// SAFETY: a collection of references that may be sent.
unsafe impl<T: Send + Sync> Send for List<T> {}

impl<T> List<T> {
    /// An empty list.
    pub fn new() -> List<T> {
        List {
            ends: Ends::EMPTY,
            number: new_chain(),
            len: 0,
        }
    }

    /// Is nothing on the list?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many objects are on the list?
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends `item`.
    ///
    /// # Errors
    /// Gives it back if it is on a list or in a table already.
    pub fn push_back(&mut self, item: Ref<T>) -> Result<(), Ref<T>> {
        self.push_back_keyed(item, 0)
    }

    /// Appends `item` under a key, which says something of it without a look at it.
    ///
    /// # Errors
    /// As for [`push_back`](Self::push_back).
    pub fn push_back_keyed(&mut self, item: Ref<T>, key: u64) -> Result<(), Ref<T>> {
        self.ends.push(self.number, key, item)?;
        self.len += 1;
        Ok(())
    }

    /// The key of the first object.
    pub fn front_key(&mut self) -> Option<u64> {
        let head = NonNull::new(self.ends.head)?;
        // SAFETY: on this chain.
        Some(unsafe { self.ends.link(head) }.key)
    }

    /// The first object.
    pub fn front(&self) -> Option<&T> {
        let head = NonNull::new(self.ends.head)?;
        // SAFETY: on this chain, which owns a reference for as long as `self`
        // is borrowed; the value comes first, and was written by `get`.
        Some(unsafe { head.cast::<T>().as_ref() })
    }

    /// Takes the first object off.
    pub fn pop_front(&mut self) -> Option<Ref<T>> {
        let item = self.ends.pop()?;
        self.len -= 1;
        Some(item)
    }

    /// The first that is `wanted`; it stays on the list. Takes as long as the list is.
    pub fn find(&mut self, wanted: impl Fn(&T) -> bool) -> Option<Ref<T>> {
        self.ends.find(wanted).map(|item| Ref::clone(&item))
    }

    /// Takes the object at `address` off, if it is on this list. Takes as long
    /// as the list is; the address is only compared.
    pub fn take(&mut self, address: *const T) -> Option<Ref<T>> {
        let found = self.ends.find(|item| ptr::eq(item, address))?;
        self.len -= 1;
        // SAFETY: on this chain.
        Some(unsafe { self.ends.unlink(found.slot) })
    }

    /// Takes `item` off, if it is on this list.
    pub fn remove(&mut self, item: &Ref<T>) -> Option<Ref<T>> {
        if item.slot().chain.load(Ordering::Acquire) != self.number {
            return None;
        }
        self.len -= 1;
        // SAFETY: it carries our number.
        Some(unsafe { self.ends.unlink(item.slot) })
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List::new()
    }
}

impl<T> Drop for List<T> {
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}

/// A hash table of references by a 64-bit key, with a fixed number of
/// buckets. The keys are counted up, so they spread evenly.
pub struct Table<T> {
    buckets: KBytes,
    number: u64,
    len: usize,
    holds: PhantomData<Ref<T>>,
}

// SAFETY: a collection of references that may be sent.
unsafe impl<T: Send + Sync> Send for Table<T> {}

impl<T> Table<T> {
    /// An empty table of `buckets` buckets, a power of two. `None` if memory
    /// is short.
    pub fn new(buckets: usize, sleep: Sleep) -> Option<Table<T>> {
        let bytes = buckets.next_power_of_two() * size_of::<Ends<T>>();
        // Zeroed memory is a row of empty chains.
        Some(Table {
            buckets: KBytes::zeroed(bytes, sleep)?,
            number: new_chain(),
            len: 0,
            holds: PhantomData,
        })
    }

    /// How many objects are in the table?
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is nothing in the table?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn buckets(&mut self) -> &mut [Ends<T>] {
        let count = self.buckets.len() / size_of::<Ends<T>>();
        // SAFETY: owned, aligned, zeroed at first, which is `Ends::EMPTY`, and
        // written only through this slice.
        unsafe { core::slice::from_raw_parts_mut(self.buckets.as_ptr().cast(), count) }
    }

    fn bucket(&mut self, key: u64) -> &mut Ends<T> {
        let buckets = self.buckets();
        let index = (key as usize) & (buckets.len() - 1);
        &mut buckets[index]
    }

    /// Puts `item` under `key`.
    ///
    /// # Errors
    /// Gives it back if it is on a list or in a table already.
    pub fn insert(&mut self, key: u64, item: Ref<T>) -> Result<(), Ref<T>> {
        let number = self.number;
        self.bucket(key).push(number, key, item)?;
        self.len += 1;
        Ok(())
    }

    /// Takes the object under `key` out.
    pub fn take(&mut self, key: u64) -> Option<Ref<T>> {
        let bucket = self.bucket(key);
        let mut next = bucket.head;
        while let Some(slot) = NonNull::new(next) {
            // SAFETY: on this chain.
            let link = unsafe { bucket.link(slot) };
            next = link.next;
            if link.key == key {
                // SAFETY: on this chain.
                let item = unsafe { bucket.unlink(slot) };
                self.len -= 1;
                return Some(item);
            }
        }
        None
    }

    /// One that is `wanted`; it stays in the table. Takes as long as the table is.
    pub fn find(&mut self, wanted: impl Fn(&T) -> bool) -> Option<Ref<T>> {
        if self.is_empty() {
            return None;
        }
        let mut buckets = self.buckets().iter_mut();
        let found = buckets.find_map(|bucket| bucket.find(&wanted));
        found.map(|item| Ref::clone(&item))
    }

    /// Takes any object out, for taking the table down. `from` is where to
    /// look first; it is moved on, so that emptying the table takes one pass.
    pub fn take_any(&mut self, from: &mut usize) -> Option<Ref<T>> {
        let buckets = self.buckets();
        while let Some(bucket) = buckets.get_mut(*from) {
            if let Some(item) = bucket.pop() {
                self.len -= 1;
                return Some(item);
            }
            *from += 1;
        }
        None
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        let mut from = 0;
        while self.take_any(&mut from).is_some() {}
    }
}
