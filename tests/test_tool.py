#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the built `monarch` tool on small files that it writes itself.

usage: test_tool.py TOOL [MAN_PAGE COMPLETION] [--seed S]

One line per check, then 'N passed, N failed, N skipped'; exit status 1 if any failed.
"""
import csv
import io
import math
import os
import pty
import random
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import tool_refusals
from tool_kit import (FORMATS, check, counts, distance, exact_attention, monarch, normal,
                      png_size, read_npy, rng, run_arguments, skip, tool, write_npy)

ROOT = os.path.dirname(os.path.abspath(__file__))


# What the tool computes.

def check_run(name, shape, kv_heads, value_dim, mask=None, descr='<f4', version=(1, 0), block=None,
              mask_descr='|b1', limit=1e-6, dtype='f32'):
    batch, heads, tokens, dim = shape
    code = FORMATS[descr]
    q, k, v = (normal(n, code) for n in (batch * heads * tokens * dim, batch * kv_heads * tokens *
                                         dim, batch * kv_heads * tokens * value_dim))
    write_npy('rq.npy', shape, q, descr, version=version)
    write_npy('rk.npy', (batch, kv_heads, tokens, dim), k, descr, version=version)
    write_npy('rv.npy', (batch, kv_heads, tokens, value_dim), v, descr, version=version)
    arguments = ['run', '--q', 'rq.npy', '--k', 'rk.npy', '--v', 'rv.npy', '--out', 'r.npy',
                 '--block', block or tokens, '--compare', 'exact', '--dtype', dtype]
    if mask:
        write_npy('rm.npy', (batch, tokens), mask, mask_descr)
        arguments += ['--mask', 'rm.npy']
    result = monarch(*arguments)
    if result.returncode or result.stderr:
        return check(name, False, result)
    out_shape, out = read_npy('r.npy')
    error = distance(out, exact_attention(q, k, v, shape, kv_heads, value_dim, mask))
    printed = re.search(r'relative error +(\S+) \(', result.stdout.decode())
    good = out_shape == (batch, heads, tokens, value_dim) and error <= limit
    good = good and printed and abs(float(printed.group(1)) - error) <= limit
    check(name, good, (out_shape, error, result.stdout.decode()))


def test_run():
    check_run('one block is exact attention', (2, 3, 17, 5), 3, 5)
    check_run('blocks of one are exact attention', (1, 2, 9, 4), 2, 4, block=1)
    check_run('value_dim and fewer key heads', (2, 4, 11, 6), 2, 3)
    check_run('float16 input', (1, 2, 13, 8), 2, 8, descr='<f2')
    check_run('format version 2.0', (1, 1, 5, 4), 1, 4, version=(2, 0))
    check_run('format version 3.0', (1, 1, 5, 4), 1, 4, version=(3, 0))
    check_run('one token', (1, 1, 1, 1), 1, 1)
    mask = [rng.random() < 0.6 for _ in range(2 * 11)]
    mask[0] = mask[11] = True
    mask[5] = False
    problem = check_masked(mask)
    check('mask', problem is None, problem)
    check_run('computed in f16', (1, 2, 16, 8), 2, 8, dtype='f16', limit=2e-3)
    check_run('computed in bf16', (1, 2, 16, 8), 2, 8, dtype='bf16', limit=1.6e-2)
    outputs = []
    for threads in 1, 2:
        result = monarch(*run_arguments(q='long_q.npy', k='long_k.npy', v='long_v.npy', steps=2,
                                        threads=threads, out='threads.npy'))
        outputs.append(open('threads.npy', 'rb').read() if result.returncode == 0 else result)
    check('the same bytes with one thread and with two',
          outputs[0] == outputs[1] and len(outputs[0]) == 128 + 4 * 4096, outputs[0][:100])
    write_npy('none.npy', (0, 2, 6, 4), [])
    result = monarch(*run_arguments(q='none.npy', k='none.npy', v='none.npy', out='empty_out.npy',
                                    compare='exact'))
    check('empty batch', result.returncode == 0 and read_npy('empty_out.npy') == ((0, 2, 6, 4), []),
          result)
    os.unlink('none.npy')
    test_links()


def check_masked(mask):
    """Rows of tokens that are not masked are right, and NaN behind the mask reaches no row."""
    shape = (2, 2, 11, 4)
    q, k, v = normal(176), normal(176), normal(176)
    masked = [not mask[i // 88 * 11 + i // 4 % 11] for i in range(176)]
    reference = exact_attention(q, k, v, shape, 2, 4, mask)
    write_npy('mq.npy', shape, q)
    write_npy('mk.npy', shape, [math.nan if m else x for x, m in zip(k, masked)])
    write_npy('mv.npy', shape, [math.nan if m else x for x, m in zip(v, masked)])
    for descr in '|b1', '|u1':
        write_npy('mm.npy', (2, 11), [m * (1 if descr == '|b1' else 7) for m in mask], descr)
        result = monarch('run', '--q', 'mq.npy', '--k', 'mk.npy', '--v', 'mv.npy', '--mask',
                         'mm.npy', '--out', 'mo.npy', '--block', '11', '--compare', 'exact')
        text = result.stdout.decode()
        if result.returncode or result.stderr or '%d of 22 tokens masked' % mask.count(False) \
                not in text or 'all %d rows' % (2 * mask.count(True)) not in text:
            return descr, result
        out = read_npy('mo.npy')[1]
        error = distance([x for x, m in zip(out, masked) if not m],
                         [x for x, m in zip(reference, masked) if not m])
        if not error <= 1e-6 or not all(map(math.isfinite, out)):
            return descr, error
    return None


def test_links():
    os.symlink('linked.npy', 'link.npy')
    open('linked.npy', 'w').close()
    os.chmod('linked.npy', 0o640)
    result = monarch(*run_arguments(out='link.npy'))
    check('an output that is a link stays one, with the mode of its file',
          result.returncode == 0 and os.path.islink('link.npy') and
          os.stat('linked.npy').st_mode & 0o777 == 0o640 and
          read_npy('linked.npy')[0] == (1, 2, 6, 4), result)
    result = monarch(*run_arguments(out='/dev/null'))
    check('a device as output is not replaced', result.returncode == 0 and
          not os.path.isfile('/dev/null'), result)


def test_stages():
    result = monarch(*run_arguments(block='4', steps='2', stages='stages', out='s.npy'))
    shapes = {name: read_npy('stages/' + name)[0] for name in sorted(os.listdir('stages'))}
    vector, number = (1, 2, 2, 4, 4), (1, 2, 2, 4)
    check('stages', result.returncode == 0 and shapes == {
        'stage00_right_aL.npy': vector, 'stage00_right_cL.npy': number,
        'stage01_left_aR.npy': vector, 'stage01_left_cR.npy': number,
        'stage02_right_value_aL.npy': vector, 'stage02_right_value_cL.npy': number,
        'stage02_right_value_y.npy': vector, 'stage03_left_out_out.npy': (1, 2, 6, 4)},
        (result, shapes))
    error = distance(read_npy('stages/stage03_left_out_out.npy')[1], read_npy('s.npy')[1])
    check('the last stage gives the output', error <= 1e-6, error)
    column = read_npy('stages/stage01_left_cR.npy')[1]
    check('cR sums to the number of queries', abs(sum(column) - 12.0) < 1e-4, column)


def test_map():
    for name, arguments in (('map', ['--block', '3']), ('map in f16', ['--dtype', 'f16']),
                            ('map with mask', ['--mask', 'mask6.npy', '--pad', 'begin'])):
        write_npy('mask6.npy', (1, 6), [1, 1, 0, 1, 0, 1], '|u1')
        result = monarch('map', '--q', 'q.npy', '--k', 'k.npy', '--head', '1', '--out', 'm.png',
                         *arguments)
        try:
            size = png_size('m.png')
            check(name, result.returncode == 0 and size[0] > 2 * size[1] > 1024, (size, result))
        except AssertionError as problem:
            check(name, False, problem)
        os.unlink('m.png')
    result = monarch('map', '--q', 'q.npy', '--k', 'k.npy', '--block', '6', '--out', 'm.png')
    found = re.search(r'distance of the maps (\S+)', result.stdout.decode())
    check('one block gives the exact map', found and float(found.group(1)) < 1e-6, result)


COLUMNS = ('date,commit,device,driver,backend,variant,threads,dtype,batch,heads,tokens,head_dim,'
           'value_dim,block,steps,us_median,us_min,us_p10,us_p90,gflops,gbs,floor_us,'
           'host_us,rel_error,seed,intermediates')


def bench_rows(*arguments):
    result = monarch('bench', '--csv', '--seconds', '0.01', *arguments)
    rows = list(csv.DictReader(io.StringIO(result.stdout.decode())))
    return result, rows


def test_bench():
    result, rows = bench_rows('--shape', '2,2,50,8,6', '--block', '7', '--steps', '2', '--seed',
                              '11', '--threads', '1')
    first = result.stdout.decode().split('\n', 1)[0]
    check('bench --csv columns', first == COLUMNS and len(rows) == 1, result)
    row = rows[0]
    want = {'backend': 'cpu', 'threads': '1', 'dtype': 'f32', 'batch': '2', 'heads': '2',
            'tokens': '50', 'head_dim': '8', 'value_dim': '6', 'block': '7', 'steps': '2',
            'seed': '11', 'intermediates': 'default'}
    check('bench --csv values', want.items() <= row.items() and result.returncode == 0, row)
    times = [float(row[c]) for c in ('us_min', 'us_p10', 'us_median', 'us_p90')]
    check('bench times', times == sorted(times) and times[0] > 0.0 and
          all(float(row[c]) > 0.0 for c in ('gflops', 'gbs', 'floor_us')), row)
    check('bench has no host time on the cpu device', row['host_us'] == '', row)
    check('bench error', 0.0 < float(row['rel_error']) <= 2e-6, row)
    again = bench_rows('--shape', '2,2,50,8,6', '--block', '7', '--steps', '2', '--seed', '11')[1]
    other = bench_rows('--shape', '2,2,50,8,6', '--block', '7', '--steps', '2', '--seed', '12')[1]
    check('bench repeats a seed', again[0]['rel_error'] == row['rel_error'] !=
          other[0]['rel_error'], (row, again, other))
    check('bench is silent on standard error without a terminal', result.stderr == b'', result)
    with open('list.txt', 'w') as file:
        file.write('# two problems\nshape=1,2,32,8 block=4 dtype=f16 pad=begin # f16\n\n'
                   'shape=1,4,30,8,5 kv_heads=2 steps=3 scale=0.5 dtype=bf16\n')
    result, rows = bench_rows('--list', 'list.txt')
    check('bench --list', result.returncode == 0 and
          [(r['dtype'], r['tokens'], r['steps']) for r in rows] ==
          [('f16', '32', '1'), ('bf16', '30', '3')], result)
    result, rows = bench_rows('--shape', '1,2,256,32', '--dtype', 'f16', '--intermediates', 'fp8')
    check('bench --intermediates fp8', result.returncode == 0 and
          rows[0]['intermediates'] == 'fp8' and 1e-3 < float(rows[0]['rel_error']) < 0.1, result)
    # Scores in the thousands leave what f32 can hold of the weights: the check must see it.
    result, rows = bench_rows('--shape', '1,1,512,256', '--scale', '20', '--steps', '3')
    check('bench fails when the result is off', result.returncode == 1 and len(rows) == 1 and
          float(rows[0]['rel_error']) > 2e-6 and result.stderr.count(b'\n') == 1 and
          b'relative error' in result.stderr, result)
    result = monarch('bench', '--shape', '1,1,64,8', '--seconds', '0.01', '--seed', '5')
    text = result.stdout.decode()
    check('bench as text', result.returncode == 0 and re.search(r'^seed +5$', text, re.M) and
          '1,1,64,8,8' in text and 'GB/s' in text and 'host us' in text, result)


def test_shipped_lists():
    shapes = os.path.join(ROOT, '..', 'bench', 'shapes')
    for name in sorted(os.listdir(shapes)):
        # A device that is not there is refused only after the whole list has been checked.
        result = monarch('bench', '--list', os.path.join(shapes, name), '--device', 'cpu:99')
        check('list ' + name, b'cpu:99' in result.stderr, result)


def test_progress():
    """On a terminal, and only there, a long measurement shows a line that is taken away again."""
    try:
        leader, follower = pty.openpty()
    except OSError as error:
        skip('progress on a terminal', 'this system gives no terminal: %s' % error)
        return
    process = subprocess.Popen(tool + ['bench', '--shape', '1,1,64,8', '--seconds', '0.1'],
                               stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    text = b''
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:
            break
        if not part:
            break
        text += part
    process.wait(60)
    os.close(leader)
    check('progress on a terminal', process.returncode == 0 and b'samples' in text and
          text.endswith(b'\r\033[K'), text)


def test_devices():
    result = monarch('devices')
    text = result.stdout.decode()
    lines = re.findall(r'^(cpu|cuda|opencl|vulkan)(?::\d+  (?:.+)|  not offered: .+)$', text, re.M)
    check('devices names every backend', result.returncode == 0 and
          set(lines) == {'cpu', 'cuda', 'opencl', 'vulkan'}, text)
    check('devices shows limits', all(word in text for word in
          ('driver', 'features', 'variants', 'compute units', 'memory', 'largest buffer')), text)


def test_help(man_page, completion):
    manual = open(man_page).read().replace('\\-', '-') if man_page else ''
    shell = open(completion).read() if completion else ''
    for command in '', 'run', 'devices', 'bench', 'map', 'verify':
        result = monarch(*([command] if command else []), '--help')
        text = result.stdout.decode()
        check('help %s' % command, result.returncode == 0 and text.startswith('usage: monarch') and
              not result.stderr and max(map(len, text.split('\n'))) <= 100, result)
        for option in sorted(set(re.findall(r'^  --([a-z-]+)', text, re.M))):
            check('%s --%s is in manual and completion' % (command, option),
                  not man_page or ('Fl -%s' % option in manual and '--' + option in shell))
    version = monarch('--version').stdout.decode()
    check('--version', re.fullmatch(r'monarch \d+\.\d+\.\d+\n', version))


def main():
    arguments = sys.argv[1:]
    seed = random.SystemRandom().randrange(1 << 32)
    if '--seed' in arguments:
        at = arguments.index('--seed')
        seed = int(arguments[at + 1])
        del arguments[at:at + 2]
    tool[0], man_page, completion = ([os.path.abspath(a) for a in arguments] + [None, None])[:3]
    rng.seed(seed)
    print('seed %d' % seed)
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        for name in 'q.npy', 'k.npy', 'v.npy':
            write_npy(name, (1, 2, 6, 4), normal(48))
        for test in tool_refusals.TESTS + (test_run, test_stages, test_map, test_bench,
                                           test_shipped_lists, test_progress, test_devices):
            test()
        test_help(man_page, completion)
        os.chdir('/')
    print('%(passed)d passed, %(failed)d failed, %(skipped)d skipped' % counts)
    return 1 if counts['failed'] else 0


if __name__ == '__main__':
    sys.exit(main())
