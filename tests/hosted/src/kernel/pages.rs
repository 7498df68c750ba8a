//! The page cache: what `ubc_uiomove(9)`, `genfs_getpages` and `genfs_putpages`
//! do with the pages of a regular file.
//!
//! A page is read and written by VOP_STRATEGY, with buffers of its own memory.
//! One that is being written is busy: who wants to change it, to write it
//! again or to have it go, waits; but not for all that [`put`] does, as on
//! NetBSD 10.

use super::{
    buf::BufHold,
    component::nocred,
    fatal::kassert,
    faults::{self, Kind},
    lwp::{self, Limits},
    registry::lock,
    sync::{self, Class, KMutex},
    uio::{self, Uio},
    vnode::{self, Vnode},
};
use crate::vnops;
use puffs_rs::{
    entry,
    kern::{
        sys::{self, pk_vop},
        Errno, Put, Result,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    ptr,
    sync::{Arc, Mutex},
};

/// The size of a page.
pub const PAGE: usize = 4096;

/// How many pages are asked for at once.
const WINDOW: u64 = 16;

/// The size of a block of a disk, of which buffers are made.
const BLOCK: usize = 512;

/// A page of a regular file.
struct Page {
    data: Box<[u8]>,
    dirty: bool,
    /// It is being written.
    busy: bool,
    /// It goes when it was written.
    released: bool,
}

/// The pages of a vnode.
pub(crate) struct Pages {
    /// `vmobjlock`: inside, VOP_GETPAGES and VOP_PUTPAGES are called, and leave
    /// it.
    pub(super) object: Arc<KMutex>,
    map: Mutex<BTreeMap<u64, Page>>,
}

impl Pages {
    pub(crate) fn new() -> Pages {
        Pages {
            object: KMutex::new(Class::Pages),
            map: Mutex::default(),
        }
    }

    /// The vnode is freed.
    pub(crate) fn destroy(&self) {
        self.object.destroy();
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.map).is_empty()
    }

    pub(crate) fn is_dirty(&self) -> bool {
        lock(&self.map).values().any(|page| page.dirty || page.busy)
    }

    /// The file is so long now: pages that it has no more go.
    pub(crate) fn cut(&self, size: i64) {
        self.object.with(|| {
            lock(&self.map).retain(|&page, _| page < count(size));
        });
    }

    fn channel(&self) -> usize {
        self.object.raw().addr() + 5
    }

    /// Waits until `f`, inside the map's lock, has a result.
    fn when<R>(&self, mut f: impl FnMut(&mut BTreeMap<u64, Page>) -> Option<R>) -> R {
        loop {
            let mut map = lock(&self.map);
            if let Some(result) = f(&mut map) {
                return result;
            }
            lwp::sleep(self.channel(), "genput", Limits::default(), || drop(map));
        }
    }

    /// Waits until none of so many pages is being written.
    fn wait(&self, pages: Range<u64>) {
        self.when(|map| {
            let busy = map.range(pages.clone()).any(|(_, page)| page.busy);
            (!busy).then_some(())
        });
    }

    /// Pages were written.
    fn written(&self, pages: Range<u64>, error: i32) {
        lock(&self.map).retain(|number, page| {
            if !pages.contains(number) {
                return true;
            }
            page.busy = false;
            // As `uvm_aio_aiodone_pages`: another error is taken to be there
            // for good, and the data is lost.
            page.dirty |= error == Errno::ENOMEM.get();
            let goes = std::mem::take(&mut page.released);
            page.dirty || !goes
        });
        lwp::wakeup_all(self.channel());
    }
}

/// How many pages so many bytes are.
fn count(size: i64) -> u64 {
    (size.max(0) as u64).div_ceil(PAGE as u64)
}

/// How much of a file a VOP_STRATEGY moves (VOP_BMAP).
fn run_max(vnode: &Vnode) -> usize {
    // SAFETY: a live vnode.
    let max = unsafe { entry::puffs_rs_move_max(vnode.raw()) };
    (max as usize / BLOCK * BLOCK).max(BLOCK)
}

/// VOP_STRATEGY. What goes wrong is in the buffer.
pub(crate) fn strategy(vnode: &Vnode, buf: *mut sys::buf) {
    // SAFETY: a live vnode, and a buffer that the operation takes over.
    unsafe { entry::puffs_rs_strategy(vnode.raw(), buf) };
}

/// The arguments of VOP_GETPAGES.
struct GetPages {
    vnode: Arc<Vnode>,
    pages: Range<u64>,
}

/// Sees to it that the first of the pages is there (`ubc_fault`).
fn fault(vnode: &Arc<Vnode>, pages: Range<u64>) -> Result<()> {
    sync::assert_sleepable("VOP_GETPAGES");
    let offset = (pages.start * PAGE as u64) as i64;
    let args = GetPages {
        vnode: vnode.clone(),
        pages: pages.start..pages.end.min(pages.start + WINDOW),
    };
    let call = ptr::from_ref(&args).cast_mut().cast::<pk_vop>();
    vnode.pages.object.enter();
    // SAFETY: a live vnode, inside its pages' lock, and arguments that stay
    // until the operation returns.
    Errno::check(unsafe { entry::puffs_rs_getpages(vnode.raw(), offset, false, call) })
}

/// `genfs_getpages`: inside the pages' lock, which is left.
#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pages_get(call: *mut pk_vop) -> i32 {
    // SAFETY: the core passes on what `fault` gave it.
    let args = unsafe { &*call.cast::<GetPages>() };
    args.vnode.pages.object.assert_mine();
    args.vnode.pages.object.exit();
    Errno::code(get(&args.vnode, args.pages.clone()))
}

fn get(vnode: &Vnode, pages: Range<u64>) -> Result<()> {
    let missing = {
        let map = lock(&vnode.pages.map);
        let run = pages.clone().take_while(|page| !map.contains_key(page));
        run.count() as u64
    };
    if missing == 0 {
        return Ok(());
    }
    let (first, start) = (pages.start, (pages.start * PAGE as u64) as i64);
    let mut data = vec![0; missing as usize * PAGE];
    // What is behind the end of the file becomes zeroes.
    let stored = (vnode.size() - start).clamp(0, data.len() as i64) as usize;
    let run_max = run_max(vnode);
    for (i, chunk) in data[..stored].chunks_mut(run_max).enumerate() {
        let offset = start + (i * run_max) as i64;
        let buf = BufHold::read(offset, chunk.len(), false);
        strategy(vnode, buf.raw());
        let (error, resid) = buf.wait();
        Errno::check(error)?;
        kassert!(resid == 0, "{resid} bytes of pages were not read");
        chunk.copy_from_slice(buf.bytes());
    }
    // It may have been cut off meanwhile: on NetBSD who does that waits.
    let (size, end) = (vnode.size(), count(vnode.writesize()));
    let kept = (size - start).clamp(0, data.len() as i64) as usize;
    data[kept..].fill(0);
    let mut map = lock(&vnode.pages.map);
    for (page, chunk) in (first..end).zip(data.chunks(PAGE)) {
        map.entry(page).or_insert_with(|| Page {
            data: chunk.into(),
            dirty: false,
            busy: false,
            released: false,
        });
    }
    Ok(())
}

/// The next bytes of a uio that are in one page: which, where, how many.
fn next(uio: &Uio, left: usize) -> (u64, usize, usize) {
    let at = uio.offset() as u64;
    let start = (at % PAGE as u64) as usize;
    (at / PAGE as u64, start, left.min(PAGE - start))
}

fn read(vnode: &Arc<Vnode>, uio: &Uio, len: usize) -> Result<()> {
    let end = count(uio.offset() + len as i64);
    let mut left = len.min(uio.resid());
    while left > 0 {
        let (page, start, more) = next(uio, left);
        let bytes = {
            let map = lock(&vnode.pages.map);
            let page = map.get(&page);
            page.map(|page| page.data[start..start + more].to_vec())
        };
        match bytes {
            Some(bytes) => {
                uio.give(&bytes);
                left -= more;
            }
            None => fault(vnode, page..end)?,
        }
    }
    Ok(())
}

fn write(vnode: &Arc<Vnode>, uio: &Uio, len: usize) -> Result<()> {
    let end = count(uio.offset() + len as i64);
    let mut left = len.min(uio.resid());
    while left > 0 {
        let (number, start, more) = next(uio, left);
        let mut bytes = vec![0; more];
        uio.take(&mut bytes);
        left -= more;
        loop {
            let there = vnode.pages.when(|map| match map.get_mut(&number) {
                None => Some(false),
                Some(page) if page.busy => None,
                Some(page) => {
                    page.data[start..start + more].copy_from_slice(&bytes);
                    page.dirty = true;
                    Some(true)
                }
            });
            if there {
                break;
            }
            fault(vnode, number..end)?;
        }
    }
    Ok(())
}

/// VOP_PUTPAGES.
pub(crate) fn put(vnode: &Arc<Vnode>, range: Range<u64>, how: Put) -> Result<()> {
    sync::assert_sleepable("VOP_PUTPAGES");
    let pages = &vnode.pages;
    // Not even for what is being written.
    let dirty = lock(&pages.map).values().any(|page| page.dirty);
    if !dirty && matches!(how, Put::Clean | Put::Sync) {
        return Ok(());
    }
    let busy = |map: &mut BTreeMap<u64, Page>| {
        let busy = map.range(range.clone()).filter(|(_, page)| page.busy);
        Some(busy.map(|(&number, _)| number).collect())
    };
    let passed_over: BTreeSet<u64> = match how {
        Put::Free => pages.when(busy),
        Put::Release => {
            pages.wait(range.clone());
            BTreeSet::new()
        }
        Put::Clean | Put::Sync | Put::Drop => BTreeSet::new(),
    };
    let mut result = Ok(());
    if how != Put::Drop {
        let run_max = run_max(vnode);
        let mut next = range.start;
        let max = (run_max / PAGE).max(1);
        while let Some(run) = take_run(vnode, next..range.end, max, how, &passed_over) {
            let (first, data) = run;
            next = first + data.len().div_ceil(PAGE) as u64;
            let start = (first * PAGE as u64) as i64;
            let is_async = matches!(how, Put::Clean | Put::Release);
            let written = first..next;
            let buf = BufHold::write(start, data, is_async);
            if is_async {
                let owner = vnode.clone();
                let done = move |error| owner.pages.written(written, error);
                buf.start(|raw| strategy(vnode, raw), done);
            } else {
                strategy(vnode, buf.raw());
                let (error, _) = buf.wait();
                pages.written(written, error);
                result = result.and(Errno::check(error));
            }
        }
    }
    if !matches!(how, Put::Clean | Put::Release) {
        pages.wait(range.clone());
    }
    if result.is_ok() && matches!(how, Put::Free | Put::Release | Put::Drop) {
        lock(&pages.map).retain(|number, page| {
            !range.contains(number)
                || page.busy
                || (page.dirty && how != Put::Drop)
                || passed_over.contains(number)
        });
    }
    result
}

/// A run of dirty pages, at most `max`, which are busy from now on: the first,
/// and what is in them up to the end of the file.
fn take_run(
    vnode: &Vnode,
    range: Range<u64>,
    max: usize,
    how: Put,
    passed_over: &BTreeSet<u64>,
) -> Option<(u64, Vec<u8>)> {
    vnode.pages.when(|map| {
        let dirty = map
            .range(range.clone())
            .find(|(number, page)| page.dirty && !passed_over.contains(number));
        let Some((&first, _)) = dirty else {
            return Some(None);
        };
        let size = vnode.size();
        kassert!(
            first < count(size),
            "VOP_PUTPAGES: page {first} is dirty, of a file of {size} bytes"
        );
        let end = range.end.min(count(size));
        let mut data = Vec::new();
        for number in first..end {
            match map.get_mut(&number) {
                // Written already, and changed since then.
                Some(page) if page.dirty && page.busy => break,
                Some(page) if page.dirty && data.len() < max * PAGE => {
                    page.dirty = false;
                    page.busy = true;
                    page.released = how == Put::Release;
                    data.extend_from_slice(&page.data);
                }
                _ => break,
            }
        }
        if data.is_empty() {
            return None;
        }
        let start = first as usize * PAGE;
        data.truncate(size as usize - start);
        Some(Some((first, data)))
    })
}

/// Writes back before a reclaim; what cannot be written is lost
/// (`vinvalbuf(9)`).
pub(crate) fn flush_for_reclaim(vnode: &Arc<Vnode>) {
    // SAFETY: a live vnode.
    unsafe { entry::puffs_rs_forsake(vnode.raw()) };
    // With PGO_RECLAIM, no page is passed over.
    vnode.pages.wait(0..u64::MAX);
    let saved = put(vnode, 0..u64::MAX, Put::Free);
    if saved
        .and_then(|()| vnops::fsync(vnode, nocred(), true))
        .is_err()
    {
        // It goes in any case.
        let _ = put(vnode, 0..u64::MAX, Put::Drop);
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pages_put(
    vp: *mut sys::vnode,
    start: i64,
    end: i64,
    how: i32,
) -> i32 {
    let page = PAGE as i64;
    kassert!(
        start >= 0 && start % page == 0 && end % page == 0 && (end == 0 || start < end),
        "VOP_PUTPAGES of {start}..{end}"
    );
    let how = match how as u32 {
        sys::PK_PUT_CLEAN => Put::Clean,
        sys::PK_PUT_SYNC => Put::Sync,
        sys::PK_PUT_FREE => Put::Free,
        sys::PK_PUT_RELEASE => Put::Release,
        _ => Put::Drop,
    };
    if let Err(error) = faults::check(Kind::Putpages) {
        return error.get();
    }
    let end = if end == 0 {
        u64::MAX
    } else {
        (end / page) as u64
    };
    Errno::code(put(&vnode::of(vp), (start / page) as u64..end, how))
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pages_wait(vp: *mut sys::vnode) {
    sync::assert_sleepable("pk_pages_wait");
    vnode::of(vp).pages.wait(0..u64::MAX);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pages_written(vp: *mut sys::vnode) -> bool {
    lock(&vnode::of(vp).pages.map)
        .values()
        .any(|page| page.busy)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pages_read(
    vp: *mut sys::vnode,
    uio: *mut sys::uio,
    len: usize,
    _advice: i32,
) -> i32 {
    Errno::code(read(&vnode::of(vp), &uio::of(uio), len))
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pages_write(
    vp: *mut sys::vnode,
    uio: *mut sys::uio,
    len: usize,
) -> i32 {
    Errno::code(write(&vnode::of(vp), &uio::of(uio), len))
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pages_lock(vp: *mut sys::vnode) {
    vnode::of(vp).pages.object.enter();
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pages_unlock(vp: *mut sys::vnode) {
    vnode::of(vp).pages.object.exit();
}
