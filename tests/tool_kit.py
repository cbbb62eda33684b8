# SPDX-License-Identifier: Apache-2.0
"""What the checks of the tool share: running it, counting, .npy and .png files."""
import math
import random
import struct
import subprocess
import zlib

counts = {'passed': 0, 'failed': 0, 'skipped': 0}
rng = random.Random()
tool = ['']  # path of the built tool, set once at start


def check(name, good, detail=''):
    counts['passed' if good else 'failed'] += 1
    print('%s %s%s' % ('ok    ' if good else 'FAILED', name, '' if good else ': ' + str(detail)))


def skip(name, reason):
    counts['skipped'] += 1
    print('skipped %s: %s' % (name, reason))


def monarch(*arguments, **options):
    return subprocess.run(tool + [str(a) for a in arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120, **options)


def run_arguments(**changes):
    """A correct call of `monarch run`, apart from the changes; None leaves an option out."""
    values = {'q': 'q.npy', 'k': 'k.npy', 'v': 'v.npy', 'out': 'old'}
    values.update(changes)
    return ['run'] + [str(part) for key, value in values.items() if value is not None
                      for part in ('--' + key, value)]


# Arrays: flat lists of numbers and a shape.

FORMATS = {'<f4': 'f', '<f2': 'e', '|b1': '?', '|u1': 'B', '<f8': 'd', '>f4': 'f', '<i4': 'i'}


def write_npy(path, shape, values, descr='<f4', fortran=False, version=(1, 0), extra=b''):
    order = '>' if descr[0] == '>' else '<'
    text = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }" % (descr, fortran, tuple(shape))
    length = '<H' if version[0] == 1 else '<I'
    size = 8 + struct.calcsize(length) + len(text) + 1
    text += ' ' * (-size % 64) + '\n'
    with open(path, 'wb') as file:
        file.write(b'\x93NUMPY' + bytes(version) + struct.pack(length, len(text)) + text.encode())
        file.write(struct.pack('%s%d%s' % (order, len(values), FORMATS[descr]), *values) + extra)
    return path


def read_npy(path):
    data = open(path, 'rb').read()
    assert data[:8] == b'\x93NUMPY\x01\x00', data[:8]
    end = 10 + struct.unpack('<H', data[8:10])[0]
    header = eval(data[10:end].decode(), {'__builtins__': {}}, {})
    assert end % 64 == 0 and header['descr'] == '<f4' and header['fortran_order'] is False
    return header['shape'], list(struct.unpack('<%df' % ((len(data) - end) // 4), data[end:]))


def normal(count, code='f'):
    values = [rng.gauss(0.0, 1.0) for _ in range(count)]
    layout = '<%d%s' % (count, code)
    return list(struct.unpack(layout, struct.pack(layout, *values)))


def exact_attention(q, k, v, shape, kv_heads, value_dim, mask=None):
    batch, heads, tokens, dim = shape
    out = []
    for index in range(batch * heads):
        b, h = divmod(index, heads)
        first = (b * kv_heads + h // (heads // kv_heads)) * tokens
        keys = [n for n in range(tokens) if mask is None or mask[b * tokens + n]]
        for n in range(tokens):
            row = q[(index * tokens + n) * dim:][:dim]
            scores = [sum(x * y for x, y in zip(row, k[(first + m) * dim:][:dim])) /
                      math.sqrt(dim) for m in keys]
            top = max(scores, default=0.0)
            weights = [math.exp(s - top) for s in scores]
            total = sum(weights) or 1.0
            for f in range(value_dim):
                out.append(sum(w * v[(first + m) * value_dim + f]
                               for w, m in zip(weights, keys)) / total)
    return out


def distance(output, reference):
    difference = sum((a - b) ** 2 for a, b in zip(output, reference))
    return math.sqrt(difference / (sum(b * b for b in reference) or 1.0))


def png_size(path):
    """Width and height of a valid RGB picture."""
    data = open(path, 'rb').read()
    assert data[:8] == b'\x89PNG\r\n\x1a\n', 'signature'
    at, packed, kinds, size = 8, b'', [], (0, 0)
    while at < len(data):
        length, kind = struct.unpack('>I4s', data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        assert struct.unpack('>I', data[at + 8 + length:][:4])[0] == zlib.crc32(kind + body), 'CRC'
        if kind == b'IHDR':
            size = struct.unpack('>II', body[:8])
            assert body[8:] == bytes((8, 2, 0, 0, 0)), 'IHDR'
        packed += body if kind == b'IDAT' else b''
        kinds.append(kind)
        at += length + 12
    assert kinds[0] == b'IHDR' and kinds[-1] == b'IEND', kinds
    pixels = zlib.decompress(packed)
    assert len(pixels) == (size[0] * 3 + 1) * size[1], 'pixels'
    assert len(set(pixels)) > 50, 'a picture of one colour'
    return size
