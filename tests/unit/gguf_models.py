"""Small GGUF files, written with PyPI's `gguf` (which llama.cpp's converter uses), for the tests of what reads them."""

import struct

import gguf
import numpy

SCALARS = {  # our letter of struct -> the writer's type
    "uint8": gguf.GGUFValueType.UINT8, "int8": gguf.GGUFValueType.INT8, "uint16": gguf.GGUFValueType.UINT16,
    "int16": gguf.GGUFValueType.INT16, "uint32": gguf.GGUFValueType.UINT32, "int32": gguf.GGUFValueType.INT32,
    "uint64": gguf.GGUFValueType.UINT64, "int64": gguf.GGUFValueType.INT64, "float32": gguf.GGUFValueType.FLOAT32,
    "float64": gguf.GGUFValueType.FLOAT64, "bool": gguf.GGUFValueType.BOOL, "string": gguf.GGUFValueType.STRING}


def write_gguf(path, architecture="llama", values=(), arrays=(), tensors=(), big=False, alignment=None):
    """Write a file. values: (key, type's name, value). arrays: (key, list). tensors: (name, shape, numpy type)."""
    endian = gguf.GGUFEndian.BIG if big else gguf.GGUFEndian.LITTLE
    writer = gguf.GGUFWriter(path, architecture, endianess=endian)
    if alignment:
        writer.add_custom_alignment(alignment)
    for key, kind, value in values:
        writer.add_key_value(key, value, SCALARS[kind])
    for key, value in arrays:
        writer.add_array(key, value)
    for name, shape, kind in tensors:
        # GGUF lists the dimension that lies together first, numpy last.
        writer.add_tensor(name, numpy.zeros(shape[::-1], dtype=kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


def of_architecture(architecture, **numbers):
    """Return `values` and `arrays` for write_gguf from llama.cpp's keys: `__` stands for the dot between words."""
    values, arrays = [], []
    for key, value in numbers.items():
        full = "%s.%s" % (architecture, key.replace("__", "."))
        if isinstance(value, list):
            arrays.append((full, value))
        else:
            values.append((full, "uint32", value))
    return {"architecture": architecture, "values": values, "arrays": arrays}


def header_of(architecture, **numbers):
    """Return what `read_gguf` would return of a model without tensors."""
    given = of_architecture(architecture, **numbers)
    metadata = {"general.architecture": architecture}
    metadata.update({key: value for key, _kind, value in given["values"]})
    metadata.update(dict(given["arrays"]))
    return {"path": "/m.gguf", "metadata": metadata, "array_lengths": {}, "tensors": []}


def text(value):
    """A text as it stands in a little-endian file."""
    return struct.pack("<Q", len(value)) + value


def raw_header(tensors=0, keys=0, version=3):
    """The fixed part of a header."""
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)
