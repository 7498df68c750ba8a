//! Kernel memory and pools, counted and fenced.
//!
//! Every block knows its size and ends in a fence, freed memory is filled, and
//! what is not given back shows up in [`outstanding`].

use super::{
    big,
    fatal::{fatal, kassert},
    faults::{self, Kind},
    registry::{lock, raw, Registry},
    sync,
};
use puffs_rs::kern::sys::pk_pool;
use std::{
    alloc::Layout,
    collections::{BTreeMap, HashMap, HashSet},
    ffi::{c_char, c_void, CStr},
    ptr,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Mutex,
    },
};

/// What is out: so many objects, so many bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Count {
    /// How many objects.
    pub objects: usize,
    /// How many bytes they take up.
    pub bytes: usize,
}

const ALIGN: usize = 16;
const FENCE: [u8; 8] = *b"puffsend";
const FREED: u8 = 0xde;

/// The live blocks and their sizes.
static BLOCKS: Mutex<Option<HashMap<usize, usize>>> = Mutex::new(None);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size + FENCE.len(), ALIGN) {
        Ok(layout) => layout,
        Err(_) => fatal!("an allocation of {size} bytes"),
    }
}

/// A fenced block of zeroes.
pub(super) fn take(size: usize) -> *mut u8 {
    kassert!(size != 0, "an allocation of no bytes");
    let layout = layout(size);
    // SAFETY: the size is not 0.
    let start = unsafe { std::alloc::alloc_zeroed(layout) };
    if start.is_null() {
        std::alloc::handle_alloc_error(layout);
    }
    // SAFETY: inside the block.
    let fence = unsafe { start.add(size) };
    // SAFETY: the block has room for the fence.
    unsafe { ptr::copy_nonoverlapping(FENCE.as_ptr(), fence, FENCE.len()) };
    start
}

/// Gives a block back that [`take`] made with this size.
///
/// # Safety
/// It is one, and nobody uses it any more.
pub(super) unsafe fn give(start: *mut u8, size: usize, what: &str) {
    let layout = layout(size);
    // SAFETY: a whole block.
    let block = unsafe { std::slice::from_raw_parts_mut(start, layout.size()) };
    kassert!(
        block[size..] == FENCE,
        "{what}: written behind its {size} bytes"
    );
    block.fill(FREED);
    // SAFETY: allocated with this layout, and nobody uses it any more.
    unsafe { std::alloc::dealloc(start, layout) };
}

/// Somebody waits for memory, or might have to: others may have the kernel lock
/// meanwhile.
fn may_sleep(what: &str) {
    sync::assert_sleepable(what);
    let kernel_lock = big::give_up();
    big::take_back(kernel_lock);
}

pub(crate) fn kmem_count() -> Count {
    let mut blocks = lock(&BLOCKS);
    let blocks = blocks.get_or_insert_default();
    Count {
        objects: blocks.len(),
        bytes: blocks.values().sum(),
    }
}

/// How many blocks are out.
pub(crate) fn kmem_blocks() -> usize {
    lock(&BLOCKS).get_or_insert_default().len()
}

/// The most blocks that were out at once.
pub(crate) fn kmem_peak() -> usize {
    PEAK.load(Ordering::Relaxed)
}

/// The sizes of all blocks that are out.
pub(crate) fn kmem_sizes() -> BTreeMap<usize, usize> {
    let mut sizes = BTreeMap::new();
    for &size in lock(&BLOCKS).get_or_insert_default().values() {
        *sizes.entry(size).or_default() += 1;
    }
    sizes
}

type Constructor = unsafe extern "C" fn(*mut c_void, *mut c_void, i32) -> i32;
type Destructor = unsafe extern "C" fn(*mut c_void, *mut c_void);

struct Pool {
    handle: usize,
    name: String,
    size: usize,
    ctor: Option<Constructor>,
    dtor: Option<Destructor>,
    objects: Mutex<Objects>,
}

#[derive(Default)]
struct Objects {
    /// Constructed and free.
    free: Vec<usize>,
    /// With their users. The addresses are exposed: C code keeps them.
    out: HashSet<usize>,
    puts: usize,
    gets: usize,
}

static POOLS: Registry<Pool> = Registry::new("pool");
static OUT: AtomicUsize = AtomicUsize::new(0);

/// How many objects of each pool are out.
pub(crate) fn pool_counts() -> Vec<(String, Count)> {
    let count = |pool: &Pool| {
        let objects = lock(&pool.objects).out.len();
        let bytes = objects * pool.size;
        (pool.name.clone(), Count { objects, bytes })
    };
    POOLS.all().iter().map(|pool| count(pool)).collect()
}

/// How many objects of all pools are out.
pub(crate) fn pool_objects() -> usize {
    OUT.load(Ordering::Relaxed)
}

/// How many objects were taken out of each pool so far.
pub(crate) fn pool_gets() -> Vec<(String, usize)> {
    let gets = |pool: &Pool| (pool.name.clone(), lock(&pool.objects).gets);
    POOLS.all().iter().map(|pool| gets(pool)).collect()
}

/// How many constructed objects wait in the pools for the next user.
pub(crate) fn pool_cached() -> usize {
    let cached = |pool: &Pool| lock(&pool.objects).free.len();
    POOLS.all().iter().map(|pool| cached(pool)).sum()
}

impl Pool {
    fn grow(&self) -> *mut c_void {
        let object = take(self.size).cast();
        if let Some(ctor) = self.ctor {
            // SAFETY: raw memory of the size that the pool was made for.
            let error = unsafe { ctor(ptr::null_mut(), object, 0) };
            kassert!(error == 0, "{}: constructor failed", self.name);
        }
        object
    }

    /// # Safety
    /// `object` came from [`grow`](Self::grow) and nobody uses it any more.
    unsafe fn shrink(&self, object: *mut c_void) {
        if let Some(dtor) = self.dtor {
            // SAFETY: a constructed object that nobody uses.
            unsafe { dtor(ptr::null_mut(), object) };
        }
        // SAFETY: as the caller says.
        unsafe { give(object.cast(), self.size, &self.name) };
    }
}

/// What memory has in it that is not zeroed.
const LEFTOVER: u8 = 0xd7;

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_alloc(size: usize, cansleep: bool) -> *mut c_void {
    // SAFETY: as the caller says.
    let start = unsafe { pk_zalloc(size, cansleep) };
    if !start.is_null() {
        // SAFETY: allocated with this size.
        unsafe { start.cast::<u8>().write_bytes(LEFTOVER, size) };
    }
    start
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_zalloc(size: usize, cansleep: bool) -> *mut c_void {
    if cansleep {
        may_sleep("pk_zalloc");
    }
    if !cansleep && faults::fails(Kind::Memory) {
        return ptr::null_mut();
    }
    let start = take(size);
    let mut blocks = lock(&BLOCKS);
    let blocks = blocks.get_or_insert_default();
    blocks.insert(start.addr(), size);
    PEAK.fetch_max(blocks.len(), Ordering::Relaxed);
    start.cast()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_free(p: *mut c_void, size: usize) {
    let known = lock(&BLOCKS).get_or_insert_default().remove(&p.addr());
    match known {
        None => fatal!("pk_free of what is not allocated: {p:p}, {size} bytes"),
        Some(known) => kassert!(known == size, "pk_free: {size} bytes of a block of {known}"),
    }
    // SAFETY: it was in the table, so it is one of `take`, once.
    unsafe { give(p.cast(), size, "kmem") };
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_page_size() -> usize {
    4096
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pool_create(
    size: usize,
    name: *const c_char,
    ctor: Option<Constructor>,
    dtor: Option<Destructor>,
) -> *mut pk_pool {
    sync::assert_sleepable("pk_pool_create");
    // SAFETY: the core passes a C string.
    let name = unsafe { CStr::from_ptr(name) }
        .to_string_lossy()
        .into_owned();
    let pool = POOLS.add(|handle| Pool {
        handle,
        name,
        size,
        ctor,
        dtor,
        objects: Mutex::default(),
    });
    raw(pool.handle)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pool_destroy(pool: *mut pk_pool) {
    let pool = POOLS.remove(POOLS.get(pool).handle);
    let free = {
        let mut objects = lock(&pool.objects);
        let out = objects.out.len();
        kassert!(
            out == 0,
            "pool {} destroyed with {out} objects out",
            pool.name
        );
        std::mem::take(&mut objects.free)
    };
    for object in free {
        // SAFETY: it was free, and the pool can hand it out no more.
        unsafe { pool.shrink(ptr::with_exposed_provenance_mut(object)) };
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pool_get(pool: *mut pk_pool, cansleep: bool) -> *mut c_void {
    let pool = POOLS.get(pool);
    if cansleep {
        may_sleep("pk_pool_get");
    }
    if !cansleep && faults::fails(Kind::Memory) {
        return ptr::null_mut();
    }
    let cached = lock(&pool.objects).free.pop();
    let object = match cached {
        Some(object) => ptr::with_exposed_provenance_mut(object),
        None => pool.grow(),
    };
    let mut objects = lock(&pool.objects);
    objects.out.insert(object.expose_provenance());
    objects.gets += 1;
    OUT.fetch_add(1, Ordering::Relaxed);
    object
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pool_put(pool: *mut pk_pool, object: *mut c_void) {
    let pool = POOLS.get(pool);
    let cache = {
        let mut objects = lock(&pool.objects);
        if !objects.out.remove(&object.addr()) {
            fatal!("{}: {object:p} put back, and not out", pool.name);
        }
        objects.puts += 1;
        OUT.fetch_sub(1, Ordering::Relaxed);
        // Every second one is freed for good, so that a use after this shows.
        let cache = objects.puts.is_multiple_of(2);
        if cache {
            objects.free.push(object.expose_provenance());
        }
        cache
    };
    if !cache {
        // SAFETY: it was out, and its user gave it back.
        unsafe { pool.shrink(object) };
    }
}

/// Memory of exactly so many bytes, whose fence tells who wrote behind it.
pub(crate) struct Fenced {
    start: *mut c_void,
    len: usize,
}

impl Fenced {
    pub(crate) fn new(len: usize) -> Fenced {
        // SAFETY: the size is not 0.
        let start = unsafe { pk_alloc(len.max(1), true) };
        Fenced { start, len }
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.cast()
    }

    /// The first `len` bytes.
    pub(crate) fn take(self, len: usize) -> Vec<u8> {
        kassert!(
            len <= self.len,
            "a file handle of {len} bytes in {}",
            self.len
        );
        // SAFETY: allocated with that size and initialised.
        unsafe { std::slice::from_raw_parts(self.start.cast(), len) }.to_vec()
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: allocated with this size, and nobody else has it.
        unsafe { pk_free(self.start, self.len.max(1)) };
    }
}
