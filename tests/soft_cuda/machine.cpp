/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <memory>
#include <random>
#include <unordered_map>
#include <vector>

#include "stack.h"

namespace soft {

namespace {

enum { LANES = 32, WARPGROUP = 128, BARRIERS = 16, STACK_BYTES = 1 << 17 };

struct warp;
struct work_group;

struct thread {
    size3 index;
    warp *in;
    work_group *group;
    char *stack;
    void *pointer; /* of the stack while it does not run */
    bool ready, ended;
    uint64_t cluster_phase; /* that it arrived in */
    std::vector<std::vector<std::function<void()>>> committed;
    std::vector<std::function<void()>> copies;
};

/* Threads that do something together. */
struct meeting {
    const char *what = nullptr;
    unsigned arrived = 0;
    void *arguments[WARPGROUP];
    thread *members[WARPGROUP];
};

struct warp {
    unsigned ready = 0; /* threads that can go on */
    std::vector<thread *> threads;
    meeting met;
};

struct named_barrier {
    std::vector<thread *> waiting;
    bool any = false;
    bool result = false; /* of the latest that ended */
};

struct cluster {
    std::vector<work_group *> groups;
    unsigned arrived = 0;
    uint64_t phase = 0;
    std::vector<thread *> waiting;
};

struct work_group {
    size3 index;
    cluster *in;
    unsigned rank; /* in the cluster */
    char *memory;
    unsigned live = 0; /* threads that have not ended */
    std::vector<warp> warps;
    std::vector<meeting> warpgroups;
    named_barrier barriers[BARRIERS];
};

struct machine {
    launch l;
    size3 size, grid;
    std::mt19937_64 random;
    std::vector<char *> stacks;
    std::vector<std::unique_ptr<work_group>> groups; /* that run now */
    std::vector<std::unique_ptr<cluster>> clusters;
    std::vector<std::unique_ptr<thread>> threads;
    std::vector<warp *> warps;
    std::vector<std::function<void()>> engine; /* started, not done */
    named_barrier all;
    std::unordered_map<const void *, std::vector<thread *>> watchers;
    thread *self = nullptr;
    void *scheduler = nullptr; /* its stack pointer while a thread runs */
    unsigned live = 0;
};

machine m;

char *new_memory(size_t bytes)
{
    void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        fail("no memory for a work-group");
    return static_cast<char *>(memory);
}

/* Between the end of a work-group's memory and what is mapped behind it nothing may be touched. */
enum { MEMORY_ROOM = 1 << OFFSET_BITS };

void make_ready(thread *t)
{
    t->ready = true;
    t->in->ready++;
}

/* The running thread stops; it goes on when somebody has made it ready and its turn comes. */
void stop()
{
    thread *t = m.self;
    t->ready = false;
    t->in->ready--;
    soft_switch_stack(&t->pointer, m.scheduler);
}

void release(named_barrier &b)
{
    b.result = b.any;
    b.any = false;
    std::vector<thread *> waiting;
    waiting.swap(b.waiting);
    for (thread *t : waiting)
        make_ready(t);
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

void do_engine_work()
{
    unsigned i = draw((unsigned)m.engine.size());
    std::function<void()> work = std::move(m.engine[i]);
    m.engine[i] = std::move(m.engine.back());
    m.engine.pop_back();
    work();
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
    m.all = named_barrier();
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

void meet(meeting &met, unsigned count, unsigned number, const char *what, void *argument,
          action act)
{
    if (met.arrived > 0 && met.what != what)
        fail(what);
    met.what = what;
    met.arguments[number] = argument;
    met.members[met.arrived++] = m.self;
    if (met.arrived < count) {
        stop();
        return;
    }
    met.arrived = 0;
    act(met.arguments);
    for (unsigned i = 0; i < count - 1; i++)
        make_ready(met.members[i]);
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

int lane()
{
    return (int)(m.self->index.x % LANES);
}

void with_warp(const char *what, void *argument, action act)
{
    meet(m.self->in->met, LANES, m.self->index.x % LANES, what, argument, act);
}

void with_warpgroup(const char *what, void *argument, action act)
{
    const unsigned number = m.self->index.x;
    meet(m.self->group->warpgroups[number / WARPGROUP], WARPGROUP, number % WARPGROUP, what,
         argument, act);
}

bool barrier(int number, unsigned threads, bool predicate)
{
    work_group *g = m.self->group;
    named_barrier &b = g->barriers[number];
    b.any |= predicate;
    if (b.waiting.size() + 1 < (threads > 0 ? threads : g->live)) {
        b.waiting.push_back(m.self);
        stop();
    } else {
        release(b);
    }
    return b.result;
}

void cluster_arrive()
{
    cluster *c = m.self->group->in;
    m.self->cluster_phase = c->phase + 1;
    if (++c->arrived < c->groups.size() * m.l.threads)
        return;
    c->arrived = 0;
    c->phase++;
    std::vector<thread *> waiting;
    waiting.swap(c->waiting);
    for (thread *t : waiting)
        make_ready(t);
}

void cluster_wait()
{
    cluster *c = m.self->group->in;
    if (m.self->cluster_phase == 0)
        fail("a wait for a cluster's barrier without arriving there");
    if (c->phase < m.self->cluster_phase) {
        c->waiting.push_back(m.self);
        stop();
    }
}

unsigned cluster_rank()
{
    return m.self->group->rank;
}

unsigned cluster_size()
{
    return (unsigned)m.self->group->in->groups.size();
}

void grid_barrier()
{
    if (!m.l.together)
        fail("a barrier of all work-groups that do not run together");
    if (m.all.waiting.size() + 1 < m.live) {
        m.all.waiting.push_back(m.self);
        stop();
    } else {
        release(m.all);
    }
}

void wait_for_change(const void *place)
{
    m.watchers[place].push_back(m.self);
    stop();
}

void has_changed(const void *place)
{
    auto watchers = m.watchers.find(place);
    if (watchers == m.watchers.end())
        return;
    for (thread *t : watchers->second)
        make_ready(t);
    m.watchers.erase(watchers);
}

void start_copy(std::function<void()> copy)
{
    if (draw(2) == 0)
        copy();
    else
        m.self->copies.push_back(std::move(copy));
}

void commit_copies()
{
    m.self->committed.emplace_back(std::move(m.self->copies));
    m.self->copies.clear();
}

void wait_for_copies(unsigned groups)
{
    auto &committed = m.self->committed;
    while (committed.size() > groups) {
        for (auto &copy : committed.front())
            copy();
        committed.erase(committed.begin());
    }
}

void after_copies(std::function<void()> then)
{
    std::vector<std::function<void()>> all;
    for (auto &group : m.self->committed)
        for (auto &copy : group)
            all.push_back(std::move(copy));
    for (auto &copy : m.self->copies)
        all.push_back(std::move(copy));
    m.self->committed.clear();
    m.self->copies.clear();
    start_engine([all, then] {
        for (auto &copy : all)
            copy();
        then();
    });
}

void start_engine(std::function<void()> work)
{
    m.engine.push_back(std::move(work));
}

/* What mbarrier instructions keep in 8 bytes. */
namespace {

struct mbarrier {
    int32_t bytes; /* still to come, those of later phases taken off */
    int16_t pending;
    uint16_t arrivals : 15, phase : 1;
};
static_assert(sizeof(mbarrier) == 8, "an mbarrier has 8 bytes");

mbarrier *mbarrier_at(char *place)
{
    mbarrier *b = reinterpret_cast<mbarrier *>(place);
    if (reinterpret_cast<uintptr_t>(place) % 8 != 0 || b->pending < 0 || b->arrivals == 0)
        fail("no mbarrier there");
    return b;
}

void end_phase(mbarrier *b)
{
    if (b->pending > 0 || b->bytes != 0)
        return;
    b->phase ^= 1;
    b->pending = (int16_t)b->arrivals;
    has_changed(b);
}

} // namespace

void mbarrier_start(char *place, int arrivals)
{
    mbarrier *b = reinterpret_cast<mbarrier *>(place);
    *b = {0, (int16_t)arrivals, (uint16_t)arrivals, 0};
    mbarrier_at(place);
}

void mbarrier_arrive(char *place)
{
    mbarrier *b = mbarrier_at(place);
    if (b->pending == 0)
        fail("more arrivals at an mbarrier than a phase has");
    b->pending--;
    end_phase(b);
}

void mbarrier_expect(char *place, int bytes)
{
    mbarrier_at(place)->bytes += bytes;
}

void mbarrier_complete(char *place, int bytes)
{
    mbarrier *b = mbarrier_at(place);
    b->bytes -= bytes;
    end_phase(b);
}

void mbarrier_wait(char *place, int parity)
{
    while (mbarrier_at(place)->phase == parity)
        wait_for_change(place);
}

} // namespace soft
