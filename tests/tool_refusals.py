# SPDX-License-Identifier: Apache-2.0
"""Calls that the tool must refuse in one sentence, and files that cannot be completed."""
import os
import re
import resource
import signal
import subprocess
import time

from tool_kit import check, monarch, normal, read_npy, run_arguments, skip, tool, write_npy


# What is wrong with a call is told in one sentence, and an old output stays as it is.

def check_refused(name, arguments, words, status=2, **options):
    old = b'an older result'
    with open('old', 'wb') as file:
        file.write(old)
    result = monarch(*arguments, **options)
    error = result.stderr.decode()
    problems = []
    if result.returncode != status:
        problems.append('exit status %d' % result.returncode)
    if error.count('\n') != 1 or not error.startswith('monarch'):
        problems.append('not one line')
    problems += ['no %r' % word for word in words if word not in error]
    if open('old', 'rb').read() != old:
        problems.append('the old output is gone')
    left = [f for f in os.listdir('.') if f.startswith('old.') or f.startswith('new')]
    if left:
        problems.append('left behind: %s' % left)
    check('refused: ' + name, not problems, '%s: %s' % (', '.join(problems), error))


def write_bad_files():
    shape = (1, 2, 6, 4)
    values = normal(48)
    write_npy('rank3.npy', (2, 6, 4), values)
    write_npy('fortran.npy', shape, values, fortran=True)
    write_npy('f64.npy', shape, values, '<f8')
    write_npy('big.npy', shape, values, '>f4')
    write_npy('int.npy', shape, [1] * 48, '<i4')
    write_npy('short.npy', shape, values[:40])
    write_npy('long.npy', shape, values, extra=b'more')
    write_npy('v4.npy', shape, values, version=(4, 0))
    write_npy('tokens7.npy', (1, 2, 7, 4), normal(56))
    write_npy('heads3.npy', (1, 3, 6, 4), normal(72))
    write_npy('heads0.npy', (1, 0, 6, 4), [])
    write_npy('dim5.npy', (1, 2, 6, 5), normal(60))
    write_npy('mask7.npy', (1, 7), [1] * 7, '|u1')
    write_npy('maskf.npy', (1, 6), [1.0] * 6)
    write_npy('long_axis.npy', (2 ** 62, 2 ** 62, 1, 1), [])
    write_npy('many.npy', (1, 1, 4097, 1), normal(4097))
    with open('text.npy', 'w') as file:
        file.write('this is no array\n')
    with open('header.npy', 'wb') as file:
        file.write(b'\x93NUMPY\x01\x00\x10\x00' + b"{'descr': '<f4'}")
    with open('records.npy', 'wb') as file:
        header = b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}"
        file.write(b'\x93NUMPY\x01\x00\x40\x00' + header.ljust(0x40))
    open('empty.npy', 'w').close()


def test_bad_files():
    write_bad_files()
    both = 'float32', 'float16'
    for name, file, words in (
            ('missing file', 'none.npy', ['none.npy', 'No such file']),
            ('directory', '.', ['.:', 'regular file']),
            ('no array', 'text.npy', ['text.npy', 'not a .npy file']),
            ('empty file', 'empty.npy', ['empty.npy', 'not a .npy file']),
            ('bad header', 'header.npy', ['header.npy', 'shape']),
            ('records', 'records.npy', ['records.npy', 'records']),
            ('unknown version', 'v4.npy', ['v4.npy', '4.0', '1.0, 2.0 and 3.0']),
            ('wrong rank', 'rank3.npy', ['rank3.npy', 'rank 3', '[2, 6, 4]', '--q',
                                         '[batch, heads, tokens, dim]']),
            ('Fortran order', 'fortran.npy', ['fortran.npy', 'Fortran order', 'C order']),
            ('float64', 'f64.npy', ['f64.npy', "'<f8'", *both]),
            ('big-endian', 'big.npy', ['big.npy', "'>f4'", *both]),
            ('integers', 'int.npy', ['int.npy', "'<i4'", *both]),
            ('mask as tensor', 'mask7.npy', ['mask7.npy', 'uint8', *both]),
            ('cut short', 'short.npy', ['short.npy', '192 bytes', '160']),
            ('too long', 'long.npy', ['long.npy', '192 bytes', '196']),
            ('shape that overflows', 'long_axis.npy', ['long_axis.npy', 'no file can hold']),
            ('no head', 'heads0.npy', ['heads0.npy', 'at least one head'])):
        check_refused(name, run_arguments(q=file), words)
    check_refused('tokens disagree', run_arguments(k='tokens7.npy'),
                  ['tokens7.npy', '[1, 2, 7, 4]', 'q.npy', '[1, 2, 6, 4]', 'must be equal'])
    check_refused('dims disagree', run_arguments(k='dim5.npy'), ['dim5.npy', '[1, 2, 6, 5]'])
    check_refused('values disagree', run_arguments(v='tokens7.npy'), ['tokens7.npy', 'k.npy'])
    check_refused('heads disagree', run_arguments(k='heads3.npy', v='heads3.npy'),
                  ['heads3.npy', '3 heads', 'divide the 2 heads of q.npy'])
    check_refused('mask of another shape', run_arguments(mask='mask7.npy'),
                  ['mask7.npy', '[1, 7]', '[1, 6]'])
    check_refused('mask of float', run_arguments(mask='maskf.npy'), ['maskf.npy', 'bool or uint8'])
    check_refused('too many tokens for a map',
                  ['map', '--q', 'many.npy', '--k', 'many.npy', '--out', 'old'],
                  ['many.npy', '4097', '4096'])


def test_bad_options():
    for name, changes, words in (
            ('block nan', {'block': 'nan'}, ['--block', "'nan'", 'whole number']),
            ('negative block', {'block': '-3'}, ['--block', "'-3'", 'from 0']),
            ('block 8.5', {'block': '8.5'}, ['--block', "'8.5'"]),
            ('block out of range', {'block': '9' * 30}, ['--block', '999']),
            ('steps 0', {'steps': '0'}, ['--steps', "'0'", '1 to 64']),
            ('steps 65', {'steps': '65'}, ['--steps', "'65'", '1 to 64']),
            ('scale nan', {'scale': 'nan'}, ['--scale', "'nan'", 'number']),
            ('scale inf', {'scale': 'inf'}, ['--scale', "'inf'"]),
            ('scale underflows', {'scale': '1e-60'}, ['--scale', "'1e-60'", 'too small']),
            ('unknown pad', {'pad': 'left'}, ['--pad', "'left'", 'end or begin']),
            ('unknown dtype', {'dtype': 'f64'}, ['--dtype', "'f64'", 'f32, f16 or bf16']),
            ('unknown comparison', {'compare': 'flash'}, ['--compare', "'flash'", 'exact']),
            ('threads 0', {'threads': '0'}, ['--threads', "'0'", 'from 1']),
            ('unknown device', {'device': 'abacus'}, ['--device abacus', 'cpu']),
            ('device without number', {'device': 'cpu:x'}, ['--device cpu:x']),
            ('device past the last', {'device': 'cpu:99'}, ['--device cpu:99']),
            ('unknown variant', {'variant': 'fastest'}, ['--variant', "'fastest'", 'naive']),
            ('output in no directory', {'out': 'none/new'}, ['none/new', 'No such file']),
            ('output is a directory', {'out': '.'}, ['.:', 'directory']),
            ('output without a name', {'out': ''}, ["''"]),
            ('stages is a file', {'stages': 'q.npy'}, ['--stages q.npy', 'not a directory']),
            ('stages in no directory', {'stages': 'none/st'}, ['--stages none/st', 'No such']),
            ('no --q', {'q': None}, ['--q is missing', '.npy']),
            ('no --out', {'out': None}, ['--out is missing'])):
        check_refused(name, run_arguments(**changes), words)
    listed = monarch('devices').stdout.decode()
    for backend in 'cuda', 'opencl', 'vulkan':
        if re.search('^%s  not offered' % backend, listed, re.M):
            check_refused('--device %s without a driver' % backend,
                          run_arguments(device=backend + ':0'),
                          ['--device %s:0' % backend, 'not offered'])
        else:
            skip('refused: --device %s without a driver' % backend, 'it is here')


def test_bad_commands():
    need = ['run, devices, bench']
    for name, arguments, words in (
            ('no command', [], need),
            ('unknown command', ['train'], ["'train'"] + need),
            ('unknown option', ['run', '--quick'], ['--quick', '--help']),
            ('unknown short option', ['run', '-q'], ['-q', '--help']),
            ('ambiguous option', ['run', '--s', '3'], ['--s', '--help']),
            ('option without value', ['run', '--block'], ['--block', 'needs a value']),
            ('value for a flag', ['bench', '--csv=1'], ['--csv=1', 'takes no value']),
            ('stray word', ['run', 'q.npy'], ["'q.npy'", '--help']),
            ('stray word for devices', ['devices', 'cpu'], ["'cpu'"]),
            ('bench without a shape', ['bench'], ['--shape', '--list']),
            ('bench with both', ['bench', '--shape', '1,1,8,4', '--list', 'x'], ['exclude']),
            ('shape of three', ['bench', '--shape', '1,2,3'], ['--shape', "'1,2,3'", 'E,H,N,D']),
            ('shape of six', ['bench', '--shape', '1,2,3,4,5,6'], ['E,H,N,D']),
            ('shape with 0', ['bench', '--shape', '1,2,0,4'], ['E,H,N,D', 'from 1']),
            ('shape with nan', ['bench', '--shape', '1,2,nan,4'], ["'1,2,nan,4'"]),
            ('kv-heads', ['bench', '--shape', '1,4,8,4', '--kv-heads', '3'],
             ['kv_heads', '3', '4']),
            ('negative seconds', ['bench', '--seconds', '-1'], ['--seconds', "'-1'"]),
            ('negative seed', ['bench', '--seed', '-1'], ['--seed', "'-1'"]),
            ('missing list', ['bench', '--list', 'none.txt'], ['none.txt', 'No such file']),
            ('map without --k', ['map', '--q', 'q.npy'], ['--k is missing']),
            ('map of no head', ['map', '--q', 'q.npy', '--k', 'k.npy', '--out', 'old', '--head',
                                '2'], ['--head', "'2'", '2 heads']),
            ('map of no batch', ['map', '--q', 'q.npy', '--k', 'k.npy', '--out', 'old', '--batch',
                                 '1'], ['--batch', "'1'", '1 entries'])):
        check_refused(name, arguments, words)
    for name, text, words in (
            ('empty list', '# nothing\n\n', ['list.txt', 'no problem']),
            ('list without shape', 'block=4\n', ['list.txt:1', 'shape is missing']),
            ('list with a bad value', '\nshape=1,1,8,4 block=x', ['list.txt:2', 'block', "'x'"]),
            ('list with a bad key', 'shape=1,1,8,4 size=4', ['list.txt:1', "'size'"]),
            ('list with a bare word', 'shape=1,1,8,4 fast', ['list.txt:1', "'fast'"])):
        with open('list.txt', 'w') as file:
            file.write(text)
        check_refused(name, ['bench', '--list', 'list.txt'], words)


# A file that cannot be completed.

def limit_file_size():
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def test_full_disk():
    shape = (1, 2, 512, 4)
    for name in 'long_q.npy', 'long_k.npy', 'long_v.npy':
        write_npy(name, shape, normal(4096))
    long = {'q': 'long_q.npy', 'k': 'long_k.npy', 'v': 'long_v.npy'}
    check_refused('file that grows too large', run_arguments(**long), ['old', 'File too large'],
                  preexec_fn=limit_file_size)
    check_refused('map that grows too large',
                  ['map', '--q', 'long_q.npy', '--k', 'long_k.npy', '--out', 'old'],
                  ['old', 'File too large'], preexec_fn=limit_file_size)
    check_refused('full device', run_arguments(out='/dev/full'), ['/dev/full', 'No space left'])
    check_refused('full device for a map',
                  ['map', '--q', 'q.npy', '--k', 'k.npy', '--out', '/dev/full'],
                  ['/dev/full', 'No space left'])
    with open('/dev/full', 'w') as full:
        result = subprocess.run(tool + ['devices'], stdout=full, stderr=subprocess.PIPE)
    check('full standard output', result.returncode == 2 and b'standard output' in result.stderr,
          result)
    result = subprocess.run(['sh', '-c', '"$0" "$@" >&-', *tool] +
                            run_arguments(out='closed.npy'),
                            stderr=subprocess.PIPE)
    check('closed standard output', result.returncode == 2 and
          b'standard output' in result.stderr and read_npy('closed.npy')[0] == (1, 2, 6, 4), result)


def test_signal():
    shape = (1, 4, 4096, 16)
    for name in 'slow_q.npy', 'slow_k.npy':
        write_npy(name, shape, normal(4 * 4096 * 16))
    with open('kept', 'w') as file:
        file.write('kept')
    arguments = run_arguments(q='slow_q.npy', k='slow_k.npy', v='slow_k.npy', out='kept',
                              variant='naive', steps='64')
    process = subprocess.Popen(tool + arguments, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    seen = []
    while not seen and process.poll() is None and time.monotonic() < deadline:
        seen = [f for f in os.listdir('.') if f.startswith('kept.')]
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    left = [f for f in os.listdir('.') if f.startswith('kept.')]
    check('a signal removes the temporary file', process.returncode == -signal.SIGTERM and seen
          and not left and open('kept').read() == 'kept', (process.returncode, seen, left))


TESTS = (test_bad_files, test_bad_options, test_bad_commands, test_full_disk, test_signal)
