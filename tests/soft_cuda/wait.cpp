/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"
#include "state.h"

/* How threads wait for each other. */

namespace soft
{

void make_all_ready(std::vector<thread *> &waiting)
{
    for (thread *t : waiting)
        make_ready(t);
    waiting.clear();
}

void release(named_barrier &b)
{
    b.result = b.any;
    b.any = false;
    make_all_ready(b.waiting);
}

static void meet(meeting &met, unsigned count, unsigned number, const char *what, void *argument,
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
    make_all_ready(c->waiting);
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

void grid_arrive()
{
    if (!m.l.together)
        fail("a barrier of all work-groups that do not run together");
    if (++m.arrived > m.groups.size())
        fail("a barrier of all work-groups is used twice");
    has_changed(&m.arrived);
}

void grid_wait()
{
    while (m.arrived < m.groups.size())
        wait_for_change(&m.arrived);
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

} // namespace soft
