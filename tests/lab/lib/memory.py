"""The host's free memory as Xen has it, to the page and fast enough to be sampled all the time."""

import ctypes
import ctypes.util
import glob
import threading
import time


class _Physinfo(ctypes.Structure):  # struct xen_sysctl_physinfo, xen/include/public/sysctl.h
    _fields_ = [("numbers", ctypes.c_uint32 * 10), ("total_pages", ctypes.c_uint64), ("free_pages", ctypes.c_uint64),
                ("scrub_pages", ctypes.c_uint64), ("outstanding_pages", ctypes.c_uint64),
                ("max_mfn", ctypes.c_uint64), ("hw_cap", ctypes.c_uint32 * 8), ("more", ctypes.c_uint8 * 64)]


_xc = ctypes.CDLL(glob.glob("/usr/lib/x86_64-linux-gnu/libxenctrl.so.4.*")[0], use_errno=True)
_xc.xc_interface_open.restype = ctypes.c_void_p
_xc.xc_physinfo.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
_handle = _xc.xc_interface_open(None, None, 0)


def free():
    """KiB."""
    info = _Physinfo()
    if _xc.xc_physinfo(_handle, ctypes.byref(info)) != 0:
        raise OSError(ctypes.get_errno(), "xc_physinfo")
    return info.free_pages * 4


class Sampler(threading.Thread):
    """Looks every `interval` seconds; `least` is the least free memory of all looks since begin()."""

    def __init__(self, interval=0.01):
        super().__init__(daemon=True)
        self.interval, self.ended = interval, threading.Event()
        self.begin()
        self.start()

    def begin(self):
        self.looks, self.least = 0, free()

    def run(self):
        while not self.ended.wait(self.interval):
            self.looks, self.least = self.looks + 1, min(self.least, free())

    def end(self):
        self.ended.set()
        self.join()


def settled(seconds=5):
    """Free memory once it has been the same for a while: a domain's last pages come back late."""
    last, since, end = free(), time.monotonic(), time.monotonic() + seconds
    while time.monotonic() < end and time.monotonic() - since < 0.5:
        time.sleep(0.05)
        now = free()
        if now != last:
            last, since = now, time.monotonic()
    return last
