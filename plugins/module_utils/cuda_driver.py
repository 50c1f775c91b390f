# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The few functions of CUDA's driver library that a copy between GPUs needs, called through ctypes.

Names, arguments and result codes: NVIDIA's CUDA Driver API reference (initialization, devices, primary contexts,
memory, peer context memory access).
"""

from __future__ import annotations

import ctypes

LIBRARY = "libcuda.so.1"
"""Comes with the driver; no toolkit has to be installed."""

_handle, _address, _size, _number = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_int
_SIGNATURES = {
    "cuInit": [ctypes.c_uint],
    "cuDeviceGetCount": [ctypes.POINTER(_number)],
    "cuDeviceGetByPCIBusId": [ctypes.POINTER(_number), ctypes.c_char_p],
    "cuDeviceCanAccessPeer": [ctypes.POINTER(_number), _number, _number],
    "cuDevicePrimaryCtxRetain": [ctypes.POINTER(_handle), _number],
    "cuDevicePrimaryCtxRelease_v2": [_number],
    "cuCtxSetCurrent": [_handle],
    "cuCtxSynchronize": [],
    "cuCtxEnablePeerAccess": [_handle, ctypes.c_uint],
    "cuCtxDisablePeerAccess": [_handle],
    "cuMemAlloc_v2": [ctypes.POINTER(_address), _size],
    "cuMemFree_v2": [_address],
    "cuMemsetD8_v2": [_address, ctypes.c_ubyte, _size],
    "cuMemcpyHtoD_v2": [_address, ctypes.c_void_p, _size],
    "cuMemcpyDtoH_v2": [ctypes.c_void_p, _address, _size],
    "cuMemcpyDtoD_v2": [_address, _address, _size],
    "cuMemcpyPeer": [_address, _handle, _address, _handle, _size],
}

OUT_OF_MEMORY = 2
ALREADY_ENABLED = 704
RESULTS = {
    1: "a value is not valid", OUT_OF_MEMORY: "out of memory", 3: "not initialized", 34: "the library is only a stub",
    46: "the device is taken by another process or not usable", 100: "no device", 101: "no such device",
    205: "mapping failed", 214: "an uncorrectable ECC error", 217: "peer access is not supported",
    304: "the operating system refused", 700: "an illegal address", 711: "too many peers",
    719: "the launch failed", 801: "not supported", 802: "the system is not ready (fabric manager)",
    803: "driver and library do not agree", 804: "the library is too new for this GPU", 999: "unknown error",
}


class CudaError(Exception):
    """One function's failure; `status` is CUDA's result code, None where there is no such function or library."""

    def __init__(self, text, status=None):
        super().__init__(text)
        self.status = status


class Cuda:
    """The library, with cuInit done."""

    def __init__(self, library=LIBRARY):
        """Raises CudaError with the reason where it cannot be used."""
        try:
            self.library = ctypes.CDLL(library)
        except OSError:
            raise CudaError("%s cannot be loaded" % library) from None
        self.functions = {}
        for name, arguments in _SIGNATURES.items():
            try:
                function = getattr(self.library, name)
            except AttributeError:
                raise CudaError("%s has no %s" % (library, name)) from None
            function.argtypes, function.restype = arguments, ctypes.c_int
            self.functions[name] = function
        self.call("cuInit", 0)

    def call(self, name, *arguments, allow=()):
        """Call a function; raises CudaError for a result that is neither success nor in `allow`."""
        status = self.functions[name](*arguments)
        if status and status not in allow:
            raise CudaError("%s: %s" % (name, RESULTS.get(status, "result %d" % status)), status)

    def count(self):
        """How many GPUs there are for this process."""
        number = ctypes.c_int()
        self.call("cuDeviceGetCount", ctypes.byref(number))
        return number.value

    def device(self, address):
        """Return the device at a PCI address."""
        device = ctypes.c_int()
        self.call("cuDeviceGetByPCIBusId", ctypes.byref(device), address.encode("ascii", "replace"))
        return device.value

    def reaches(self, device, peer):
        """Whether one device may use the memory of another."""
        answer = ctypes.c_int()
        self.call("cuDeviceCanAccessPeer", ctypes.byref(answer), device, peer)
        return bool(answer.value)

    def retain(self, device):
        """Return the device's primary context, to be given back by `release`."""
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        return context

    def release(self, device):
        self.call("cuDevicePrimaryCtxRelease_v2", device)

    def allocate(self, context, size):
        """Return the address of so many bytes of a context's memory, to be given back by cuMemFree."""
        address = ctypes.c_uint64()
        self.call("cuCtxSetCurrent", context)
        self.call("cuMemAlloc_v2", ctypes.byref(address), size)
        return address.value

    def write(self, context, address, data):
        """Copy bytes of the host to a context's memory."""
        self.call("cuCtxSetCurrent", context)
        self.call("cuMemcpyHtoD_v2", address, data, len(data))
        self.call("cuCtxSynchronize")

    def fill(self, context, address, byte, size):
        self.call("cuCtxSetCurrent", context)
        self.call("cuMemsetD8_v2", address, byte, size)
        self.call("cuCtxSynchronize")

    def read(self, context, address, size):
        """Return bytes of a context's memory."""
        data = ctypes.create_string_buffer(size)
        self.call("cuCtxSetCurrent", context)
        self.call("cuMemcpyDtoH_v2", data, address, size)
        self.call("cuCtxSynchronize")
        return data.raw
