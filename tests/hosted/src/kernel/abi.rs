//! Every kernel service, next to its declaration: where the two have drifted
//! apart, this does not compile.

use super::{
    big, buf, cache, clock, component, console, lwp, mem, node, pages, putter, sync, thread, uio,
    vfs, vnode,
};
use puffs_rs::kern::sys;

/// Two functions are of one type if an array can hold both.
macro_rules! services {
    ($($module:ident: $($name:ident)+;)+) => {
        $($( const _: () = {
            let _ = [$module::$name, sys::$name];
        }; )+)+

        /// The names of all services of this kernel.
        pub const SERVICES: &[&str] = &[$($(stringify!($name)),+),+];
    };
}

services! {
    mem: pk_alloc pk_zalloc pk_free pk_page_size pk_pool_create pk_pool_destroy pk_pool_get pk_pool_put;
    sync: pk_mutex_create pk_mutex_destroy pk_mutex_enter pk_mutex_tryenter
        pk_mutex_exit
        pk_cv_init pk_cv_destroy pk_cv_wait pk_cv_wait_sig pk_cv_timedwait pk_cv_signal
        pk_cv_broadcast;
    big: pk_kernel_lock pk_kernel_unlock;
    thread: pk_thread_create pk_thread_exit;
    clock: pk_ticks pk_hz pk_pause pk_nanotime;
    lwp: pk_curlwp_ids pk_curlwp_is_pagedaemon pk_process_exists pk_queue_limit
        pk_sig_pending pk_sig_block pk_sig_restore;
    console: pk_log pk_panic pk_debug_level pk_debug;
    putter: pk_putter_attach pk_putter_detach pk_putter_notify;
    vfs: pk_mount_ref pk_mount_rele pk_mount_unmount pk_mount_enter pk_mount_leave
        pk_mount_data pk_mount_clear_data pk_mount_flags pk_mount_fsid pk_mount_is_getargs
        pk_mount_is_update pk_mount_set_statvfs pk_mount_commit pk_mount_copy_statvfs
        pk_mount_known_statvfs pk_statvfs_from_wire pk_mount_vflush;
    node: pk_node_pool_init pk_node_pool_destroy pk_node_create pk_node_destroy pk_node_attach
        pk_node_detach pk_vnode_node pk_node_selrecord pk_node_selnotify pk_node_advlock;
    vnode: pk_vnode_get pk_vnode_ref pk_vnode_rele pk_vnode_lock pk_vnode_trylock
        pk_vnode_lock_retry pk_vnode_unlock pk_vnode_interlock pk_vnode_mount pk_vnode_type
        pk_vnode_set_type pk_vnode_is_root pk_vnode_is_dying pk_vnode_size pk_vnode_set_size
        pk_vnode_set_writesize pk_vnode_to_special pk_vnode_to_fifo pk_vnode_fsync
        pk_vnode_iter_create pk_vnode_iter_next pk_vnode_iter_destroy;
    pages: pk_pages_put pk_pages_wait pk_pages_written pk_pages_read pk_pages_write pk_pages_lock pk_pages_unlock pk_pages_get;
    cache: pk_cache_lookup pk_cache_enter pk_cache_purge pk_cache_purge_name
        pk_cache_purge_children pk_cache_purge_mount;
    component: pk_cred_kind pk_cred_to_uucred pk_cn_nameiop pk_cn_flags pk_cn_nameptr
        pk_cn_namelen pk_cn_cred pk_cn_set_flags pk_cn_consume;
    uio: pk_uio_resid pk_uio_offset pk_uio_set_offset pk_uio_move pk_uio_give_back
        pk_cookies_alloc;
    buf: pk_buf_count pk_buf_data pk_buf_offset pk_buf_is_read pk_buf_is_async pk_buf_done;
}
