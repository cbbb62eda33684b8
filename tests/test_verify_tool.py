#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs `monarch verify` of the built tool: what it prints, in three forms, and when it fails.

usage: test_verify_tool.py TOOL [STAND_IN_FOLDER]

STAND_IN_FOLDER holds a driver of the tests that computes nothing, so everything on it is wrong.
One line per check, then 'N passed, N failed, N skipped'; exit status 1 if any failed.
"""
import html.parser
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from tool_kit import check, counts, monarch, skip, tool
from tool_refusals import check_refused

CPU = ['verify', '--device', 'cpu', '--threads', '1']
ONE = CPU + ['--list', 'none', '--case', 'odd_n_steps_2', '--seed', '9']


class Page(html.parser.HTMLParser):
    """Counts what a page is made of, and what it would fetch."""

    def __init__(self):
        super().__init__()
        self.tags, self.fetched, self.open = {}, [], []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.fetched += [v for k, v in attrs if k in ('src', 'href', 'xlink:href')]


def read_page(path):
    page = Page()
    page.feed(open(path, encoding='utf-8').read())
    return page


def test_table():
    result = monarch(*ONE, '--variant', 'all')
    text = result.stdout.decode()
    rows = re.findall(r'^odd_n_steps_2 +(f32|f16|bf16) +cpu:0 +(\S+) .* pass$', text, re.M)
    variants = {variant for _, variant in rows}
    check('a row for each dtype and variant', result.returncode == 0 and
          {'naive', 'generic'} <= variants and len(rows) == 3 * len(variants), text)
    check('the seed comes first, the counts last', text.startswith('seed 9\n') and
          re.search(r'\n%d passed, 0 failed, 0 left out.*seed 9\n$' % len(rows), text), text)
    check('nothing on standard error without a terminal', result.stderr == b'', result)
    again = monarch(*ONE, '--variant', 'all', '--jobs', '3').stdout.decode()
    same = [t[:t.rindex('comparisons')] for t in (text, again)]
    check('the same with several cases at a time', same[0] == same[1], again)
    other = monarch(*ONE[:-1], '10').stdout.decode()
    check('another seed gives other errors', other.count('pass') and
          other.split('\n')[7:9] != text.split('\n')[7:9], other)


def test_json():
    result = monarch(*ONE, '--variant', 'generic,naive', '--json')
    report = json.loads(result.stdout)
    rows = report['rows']
    check('JSON', result.returncode == 0 and report['seed'] == 9 and report['passed'] == 6 ==
          len(rows) and report['failed'] == 0 and report['against'] == 'oracle', report)
    row = rows[0]
    check('JSON rows', row['verdict'] == 'pass' and row['starts_at_stage'] == -1 and
          row['worst'] <= row['worst_limit'] and row['error'] <= row['limit'] and
          row['passed'] > 12 and 0 <= row['feature'] < 8 and
          row['array'] in ('aL', 'cL', 'aR', 'cR', 'y', 'out'), row)
    repeated = json.loads(monarch(*row['again'].split()[1:], '--threads', '1', '--json').stdout)
    check('the command that repeats a row gives its numbers', len(repeated['rows']) == 1 and
          {k: v for k, v in repeated['rows'][0].items()} == row, (row, repeated))


def test_lists():
    with open('problems.txt', 'w') as file:
        file.write('shape=1,2,40,8 block=7 dtype=f16\nshape=2,4,30,8,5 kv_heads=2 steps=2\n')
    result = monarch(*CPU, '--list', 'problems.txt')
    text = result.stdout.decode()
    check('problems of a file', result.returncode == 0 and
          re.search(r'^problem_1 +f16 .*pass$', text, re.M) and
          re.search(r'^problem_2 +f32 .*pass$', text, re.M) and text.count(' pass\n') == 2, text)
    result = monarch(*CPU, '--list', 'none', '--random', '3', '--seed', '4', '--dtype', 'f32,bf16')
    text = result.stdout.decode()
    check('random problems', result.returncode == 0 and text.count('\nrandom_') == 6, text)
    result = monarch(*CPU, '--list', 'none', '--soak', '0.5', '--dtype', 'f16')
    check('a soak ends', result.returncode == 0 and
          result.stdout.decode().count('\nrandom_') >= 1, result)
    result = monarch(*CPU, '--dtype', 'f16', '--case', 'even,dim_17')
    check('cases of the list', result.returncode == 0 and
          result.stdout.decode().count(' pass\n') == 2, result)
    result = monarch('verify', '--list', 'none', '--case', 'even', '--dtype', 'f32', '--against',
                     'cpu', '--device', 'cpu', '--variant', 'naive')
    check('against another device', result.returncode == 0 and
          b'compared with cpu\n' in result.stdout, result)


def test_report():
    result = monarch(*ONE, '--report', 'report.html')
    page = read_page('report.html')
    check('report', result.returncode == 0 and page.tags.get('svg', 0) >= 8 and
          page.tags.get('table', 0) >= 1 and os.path.getsize('report.html') < 200000, page.tags)
    check('a report fetches nothing', page.fetched == [] and 'script' not in page.tags,
          page.fetched)


def test_failure(stand_in):
    """A driver that computes nothing leaves every output as it was: NaN."""
    arguments = ['verify', '--device', 'vulkan:0', '--variant', 'plain', '--list', 'none', '--case',
                 'odd_n', '--dtype', 'f16', '--seed', '3']
    environment = dict(os.environ, LD_LIBRARY_PATH=stand_in)
    result = monarch(*arguments, '--report', 'wrong.html', env=environment)
    text = result.stdout.decode()
    check('a failure', result.returncode == 1 and result.stderr.count(b'\n') == 1 and
          re.search(r'^odd_n +f16 +vulkan:0 +plain .* FAIL$', text, re.M), result)
    place = (r'starts at: stage 0 \(right_value\) alone: aL: batch 0, head 0, block 0, position 0 '
             r'\(token 0\), feature 0: -?nan instead of \S+;.* not finite')
    check('where it starts', re.search(place, text), text)
    command = re.search(r'again: monarch (.*)', text)
    check('how to repeat it', command and command.group(1) ==
          'verify --device vulkan:0 --variant plain --list none --case odd_n --dtype f16 --seed 3',
          text)
    page = open('wrong.html', encoding='utf-8').read()
    check('a failure in the report', 'Failures' in page and command.group(1) in page and
          '#b00020' in page, page[:2000])
    report = json.loads(monarch(*arguments, '--json', env=environment).stdout)
    row = report['rows'][0]
    check('a failure in JSON', report['failed'] == 1 and row['verdict'] == 'fail' and
          row['starts_at_stage'] == 0 and row['actual'] is None and row['not_finite'] > 0, row)
    result = monarch('verify', '--device', 'cpu', '--against', 'vulkan:0', '--list', 'none',
                     '--case', 'odd_n', '--dtype', 'f16', env=environment)
    check('what is itself wrong is no measure for others', result.returncode == 1 and
          b'is no measure for others' in result.stdout, result)


def children(process):
    with open('/proc/%d/task/%d/children' % (process, process)) as file:
        return [int(child) for child in file.read().split()]


def test_crash():
    """A process that dies, as a driver may make it, costs what it was at and nothing else."""
    if not os.path.exists('/proc/self/task/%d/children' % os.getpid()):
        skip('a process that dies', 'this system does not tell the children of a process')
        return
    process = subprocess.Popen(tool + CPU + ['--variant', 'naive', '--jobs', '3', '--list', 'none',
                                             '--case', 'long_text,tiles_exact,tiles_plus_1'],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while len(children(process.pid)) < 3:
        time.sleep(0.01)
    time.sleep(1.0)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    output, error = process.communicate(timeout=200)
    text = output.decode()
    check('a process that dies', process.returncode == 1 and error.count(b'\n') == 1 and
          text.count('the process that ran it ended by signal 9\n') == 1 and
          '8 passed, 1 failed' in text, (text, error))


def test_refusals():
    for name, arguments, words in (
            ('unknown device', ['--device', 'abacus'], ['--device abacus']),
            ('device past the last', ['--against', 'cpu:99'], ['--against cpu:99']),
            ('unknown variant', ['--device', 'cpu', '--variant', 'fastest'], ["'fastest'"]),
            ('unknown case', ['--case', 'none_such'], ["'none_such'", '--case']),
            ('unknown dtype', ['--dtype', 'f64'], ["'f64'", 'f32, f16 or bf16']),
            ('unknown list', ['--list', 'none.txt'], ['none.txt', 'No such file']),
            ('bad seed', ['--seed', '-1'], ['--seed', "'-1'"]),
            ('no job', ['--jobs', '0'], ['--jobs', "'0'"]),
            ('no case at all', ['--list', 'none'], ['no case']),
            ('report in no directory',
             ['--device', 'cpu', '--list', 'none', '--case', 'even', '--dtype', 'f32', '--report',
              'none/new.html'], ['none/new.html'])):
        check_refused('verify: ' + name, ['verify'] + arguments, words)


def main():
    tool[0] = os.path.abspath(sys.argv[1])
    stand_in = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        for test in (test_table, test_json, test_lists, test_report, test_crash,
                     test_refusals):
            test()
        if stand_in:
            test_failure(stand_in)
        else:
            skip('failures', 'this build has no vulkan backend, whose stand-in makes them')
        os.chdir('/')
    print('%(passed)d passed, %(failed)d failed, %(skipped)d skipped' % counts)
    return 1 if counts['failed'] else 0


if __name__ == '__main__':
    sys.exit(main())
