# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""other_models.py SAMPLE FOLDER: makes other releases of the sample model, always the same ones, with a few bytes that
differ. Those that are there are left alone."""

import os
import shutil
import sys
from pathlib import Path

CHANGES = {
    # The name in its header: another file, and the same model.
    "new.gguf": (b"Gemma 3 270m", b"Gemma 3 270n"),
    # The same once more, to be given a check that it does not pass.
    "strange.gguf": (b"Gemma 3 270m", b"Gemma 3 270o"),
    # The name of a tensor: the header can be read, and the engine misses one.
    "unloadable.gguf": (b"output_norm.weight", b"output_noxm.weight"),
}
HEADER_BYTES = 8 << 20


def main(sample, folder):
    os.makedirs(folder, exist_ok=True)
    header = Path(sample).read_bytes()[:HEADER_BYTES]
    for name, (old, new) in CHANGES.items():
        path = Path(folder, name)
        if header.count(old) != 1:
            sys.exit(f"{sample} has {old} {header.count(old)} times in its header; it must be there once")
        if path.exists() and path.stat().st_size == Path(sample).stat().st_size:
            continue
        shutil.copyfile(sample, f"{path}.part")
        with open(f"{path}.part", "r+b") as stream:
            stream.seek(header.index(old))
            stream.write(new)
        os.replace(f"{path}.part", path)


if __name__ == "__main__":
    main(*sys.argv[1:])
