/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "stack.h"
#include "state.h"

/* Launches: work-groups, their threads, and whose turn it is. */

namespace soft
{

machine m;

void make_ready(thread *t)
{
    t->ready = true;
    t->in->ready++;
}

void stop()
{
    thread *t = m.self;
    t->ready = false;
    t->in->ready--;
    soft_switch_stack(&t->pointer, m.scheduler);
}

namespace
{

char *new_memory(size_t bytes)
{
    void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        fail("no memory for a work-group");
    return static_cast<char *>(memory);
}

void end_thread()
{
    thread *t = m.self;
    work_group *g = t->group;
    for (const auto &copies : t->committed)
        if (!copies.empty())
            fail("a thread ends while its copies are under way");
    if (!t->copies.empty())
        fail("a thread ends while its copies are under way");
    t->ended = true;
    g->live--;
    m.live--;
    if (!g->barriers[0].waiting.empty() && g->barriers[0].waiting.size() == g->live)
        release(g->barriers[0]);
    stop();
    fail("an ended thread goes on");
}

void enter_thread()
{
    m.l.kernel();
    end_thread();
}

void add_thread(work_group *g, unsigned number, char *stack)
{
    auto t = std::make_unique<thread>();
    t->index = {number, 0, 0};
    t->group = g;
    t->in = &g->warps[number / LANES];
    t->stack = stack;
    t->pointer = soft_new_stack(stack + STACK_BYTES, enter_thread);
    t->ended = false;
    t->ready = true;
    t->cluster_phase = 0;
    t->in->ready++;
    t->in->threads.push_back(t.get());
    g->live++;
    m.live++;
    m.threads.push_back(std::move(t));
}

void add_group(cluster *c, unsigned number)
{
    auto g = std::make_unique<work_group>();
    g->index = {number % m.grid.x, number / m.grid.x, 0};
    g->in = c;
    g->rank = (unsigned)c->groups.size();
    g->memory = new_memory(MEMORY_ROOM);
    memset(g->memory, 0xff, m.l.shared_memory);
    g->warps.resize((m.l.threads + LANES - 1) / LANES);
    g->warpgroups.resize((m.l.threads + WARPGROUP - 1) / WARPGROUP);
    for (unsigned i = 0; i < m.l.threads; i++) {
        if (m.stacks.size() <= m.threads.size())
            m.stacks.push_back(new_memory(STACK_BYTES));
        add_thread(g.get(), i, m.stacks[m.threads.size()]);
    }
    for (warp &w : g->warps)
        m.warps.push_back(&w);
    c->groups.push_back(g.get());
    m.groups.push_back(std::move(g));
}

/* Each thread of a warp that can go on does so until it must wait. */
void run_warp(warp *w)
{
    for (thread *t : w->threads)
        if (t->ready && !t->ended) {
            m.self = t;
            soft_switch_stack(&m.scheduler, t->pointer);
        }
    m.self = nullptr;
}

void run_warps()
{
    std::vector<warp *> ready;
    while (m.live > 0) {
        ready.clear();
        for (warp *w : m.warps)
            if (w->ready > 0)
                ready.push_back(w);
        if (ready.empty() && m.engine.empty())
            fail("all threads wait");
        for (size_t n = m.engine.empty() ? 0 : draw((unsigned)m.engine.size() + 2); n > 0; n--)
            if (!m.engine.empty())
                do_engine_work();
        for (size_t n = ready.size(); n > 0; n--) { /* in an order that is drawn */
            std::swap(ready[n - 1], ready[draw((unsigned)n)]);
            run_warp(ready[n - 1]);
        }
    }
    while (!m.engine.empty())
        do_engine_work();
}

void clear()
{
    for (auto &g : m.groups)
        munmap(g->memory, MEMORY_ROOM);
    m.groups.clear();
    m.clusters.clear();
    m.threads.clear();
    m.warps.clear();
    m.watchers.clear();
    m.arrived = 0;
}

/* `count` work-groups from `first` on run at once. */
void run_groups(unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (i % m.l.cluster == 0)
            m.clusters.push_back(std::make_unique<cluster>());
        add_group(m.clusters.back().get(), first + i);
    }
    run_warps();
    clear();
}

} // namespace

void fail(const char *what)
{
    fprintf(stderr, "soft CUDA device: %s", what);
    if (m.self)
        fprintf(stderr, " (work-group %u, thread %u)", m.self->group->index.x, m.self->index.x);
    fputc('\n', stderr);
    abort();
}

unsigned draw(unsigned count)
{
    return (unsigned)(m.random() % count);
}

const size3 &thread_index()
{
    return m.self->index;
}

const size3 &group_index()
{
    return m.self->group->index;
}

const size3 &group_size()
{
    return m.size;
}

const size3 &grid_size()
{
    return m.grid;
}

void run(const launch &l, uint64_t seed)
{
    const unsigned count = l.grid[0] * l.grid[1], at_once = l.together ? count : l.cluster;
    m.l = l;
    m.size = {l.threads, 1, 1};
    m.grid = {l.grid[0], l.grid[1], 1};
    m.random.seed(seed);
    if (count % at_once != 0 || l.threads % LANES != 0 || l.shared_memory > MEMORY_ROOM)
        fail("a launch of another shape than the device takes");
    const bool backwards = draw(2) != 0;
    for (unsigned i = 0; i < count; i += at_once)
        run_groups(backwards ? count - at_once - i : i, at_once);
}

char *memory()
{
    return m.self->group->memory;
}

uint32_t address_of(const void *place)
{
    const work_group *g = m.self->group;
    const ptrdiff_t offset = static_cast<const char *>(place) - g->memory;
    if (offset < 0 || offset >= (ptrdiff_t)m.l.shared_memory)
        fail("the address of a place outside the work-group's memory");
    return (g->rank + 1) << OFFSET_BITS | (uint32_t)offset;
}

char *own_place(uint32_t offset, unsigned bytes)
{
    if (offset + bytes > m.l.shared_memory)
        fail("a place outside the work-group's memory");
    return m.self->group->memory + offset;
}

char *place_of(uint32_t address, unsigned bytes)
{
    const unsigned rank = (address >> OFFSET_BITS) - 1, offset = address & (MEMORY_ROOM - 1);
    const cluster *c = m.self->group->in;
    if (rank >= c->groups.size() || offset + bytes > m.l.shared_memory)
        fail("a place outside the memory of the cluster's work-groups");
    return c->groups[rank]->memory + offset;
}

} // namespace soft
