"""Device memory that grows and shrinks at a fixed address, with the virtual memory functions of the CUDA driver.

Kernels, block tables and captured graphs keep one address, and memory that is given back is free for other processes.
See the section "Virtual Memory Management" of the driver API.
"""

import ctypes
import functools
from typing import Any

import torch

_OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY
_PINNED = 1  # CU_MEM_ALLOCATION_TYPE_PINNED
_ON_DEVICE = 1  # CU_MEM_LOCATION_TYPE_DEVICE
_READ_WRITE = 3  # CU_MEM_ACCESS_FLAGS_PROT_READWRITE

PIECE_BYTES = 32 << 20
"""Memory is taken and given back in pieces of this size. Each piece costs a few driver calls."""


class _Location(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]


class _Properties(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("requested_handle_types", ctypes.c_int),
        ("location", _Location),
        ("win32_handle", ctypes.c_void_p),
        ("flags", ctypes.c_ubyte * 8),
    ]


class _Access(ctypes.Structure):
    _fields_ = [("location", _Location), ("flags", ctypes.c_int)]


class OutOfDeviceMemory(Exception):
    """The device has no free memory left."""


class DeviceRange:
    """A range of device addresses. Only its first part has memory behind it.

    Args:
        device: a CUDA device whose context exists.
        limit_bytes: the size of the range; it costs addresses, not memory.
    """

    def __init__(self, device: torch.device, limit_bytes: int) -> None:
        self._location = _Location(_ON_DEVICE, device.index or 0)
        self._limit = -(-limit_bytes // PIECE_BYTES) * PIECE_BYTES
        address = ctypes.c_uint64()
        _call("cuMemAddressReserve", ctypes.byref(address), ctypes.c_size_t(self._limit), ctypes.c_size_t(0),
              ctypes.c_uint64(0), ctypes.c_uint64(0))  # fmt: skip
        self._address = address.value
        self._pieces: list[int] = []
        self._device = device

    @property
    def bytes(self) -> int:
        """How much memory is behind the range."""
        return len(self._pieces) * PIECE_BYTES

    def resize(self, size: int) -> None:
        """Have memory for at least `size` bytes, rounded up to whole pieces.

        The caller makes sure that the device no longer uses the memory that is given back.

        Raises:
            OutOfDeviceMemory: the memory that was there stays.
        """
        pieces = -(-size // PIECE_BYTES)
        while len(self._pieces) > pieces:
            self._give_back(self._pieces.pop())
        while len(self._pieces) < pieces:
            self._pieces.append(self._take())

    def tensor(self, size: int, dtype: torch.dtype) -> torch.Tensor:
        """The first `size` bytes of the range, (size / dtype bytes,). Only the part with memory may be accessed."""
        assert size <= self._limit, f"{size} bytes of a range of {self._limit}"
        # The interface has no type string for bfloat16, so it carries bytes.
        interface = {"shape": (size,), "typestr": "|u1", "data": (self._address, False), "version": 3, "strides": None}
        holder = type("_Holder", (), {"__cuda_array_interface__": interface})()
        return torch.as_tensor(holder, device=self._device).view(dtype)

    def close(self) -> None:
        """Give everything back. Tensors of the range must not be used afterwards."""
        self.resize(0)
        _call("cuMemAddressFree", ctypes.c_uint64(self._address), ctypes.c_size_t(self._limit))

    def _take(self) -> int:
        handle = ctypes.c_uint64()
        properties = _Properties(_PINNED, 0, self._location, None)
        _call("cuMemCreate", ctypes.byref(handle), ctypes.c_size_t(PIECE_BYTES), ctypes.byref(properties),
              ctypes.c_uint64(0))  # fmt: skip
        place = ctypes.c_uint64(self._address + self.bytes)
        _call("cuMemMap", place, ctypes.c_size_t(PIECE_BYTES), ctypes.c_size_t(0), handle, ctypes.c_uint64(0))
        access = _Access(self._location, _READ_WRITE)
        _call("cuMemSetAccess", place, ctypes.c_size_t(PIECE_BYTES), ctypes.byref(access), ctypes.c_size_t(1))
        return handle.value

    def _give_back(self, handle: int) -> None:
        place = ctypes.c_uint64(self._address + self.bytes)
        _call("cuMemUnmap", place, ctypes.c_size_t(PIECE_BYTES))
        _call("cuMemRelease", ctypes.c_uint64(handle))


@functools.cache
def _driver() -> Any:
    return ctypes.CDLL("libcuda.so.1")


def _call(name: str, *arguments: Any) -> None:
    status = getattr(_driver(), name)(*arguments)
    if status == _OUT_OF_MEMORY:
        raise OutOfDeviceMemory(name)
    if status:
        raise RuntimeError(f"{name} failed: CUDA error {status}")
