"""Meta's Rebalancer (PyPI `rebalancer`, Apache-2.0) on a cluster that `make bench-plan` wrote.

usage: python -P rebalancer.py PROBLEM.json LIMIT_S (-P, lest it import itself)

Each replica is an object with a load and bytes of its own, since the solver knows no leaders to transfer. Prints one line of JSON: CPU seconds of
`solve` alone (building the model is left out), the fullest node over the mean, and the share of replicas moved, after checking that no two
replicas of a shard share a zone.
"""

import json
import resource
import sys

from rebalancer import ProblemSolver
from rebalancer.specs import (
    BalanceSpec,
    CapacitySpec,
    ConstraintSpec,
    GoalSpec,
    GroupCountSpec,
    LocalSearchSolverSpec,
    MoveTypeSpec,
    SingleFastMoveTypeSpec,
    SolverSpec,
)


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(path, limit_s):
    with open(path) as file:
        problem = json.load(file)
    nodes = [f"n{i}" for i in range(len(problem["zones"]))]
    zone = {node: f"z{z}" for node, z in zip(nodes, problem["zones"])}
    assignment = {node: [] for node in nodes}
    load, size, shards, start = {}, {}, {}, {}
    for shard, replicas in enumerate(problem["replicas"]):
        for slot, node in enumerate(replicas):
            replica = f"s{shard}_{slot}"
            assignment[nodes[node]].append(replica)
            start[replica] = nodes[node]
            load[replica] = problem["leader_load"][shard] * (1.0 if slot == 0 else problem["follower_share"])
            size[replica] = float(problem["bytes"][shard])
            shards.setdefault(f"s{shard}", []).append(replica)

    solver = ProblemSolver(service_name="bench", service_scope="plan")
    solver.set_object_name("replica")
    solver.set_container_name("node")
    solver.set_assignment(assignment)
    solver.add_scope("zone", zone)
    solver.add_object_dimension("load", load)
    solver.add_object_dimension("bytes", size)
    room = {node: float(bytes) for node, bytes in zip(nodes, problem["capacity_bytes"])}
    solver.add_container_dimension("bytes", room, default_value=0.0)
    of_shard = {replica: shard for shard, replicas in shards.items() for replica in replicas}
    try:
        solver.add_partition("shard", of_shard)
    except Exception:
        solver.add_partition("shard", shards)
    disk = CapacitySpec(name="disk", scope="node", dimension="bytes")
    solver.add_constraint(ConstraintSpec(capacitySpec=disk))
    apart = GroupCountSpec(name="apart", scope="zone", partitionName="shard", limit={"globalLimit": 1.0})
    solver.add_constraint(ConstraintSpec(groupCountSpec=apart))
    balance = BalanceSpec(name="even", scope="node", dimension="load", fixAverageToInitial=True)
    solver.add_goal(GoalSpec(balanceSpec=balance), weight=1.0)
    fast = MoveTypeSpec(singleFastMoveTypeSpec=SingleFastMoveTypeSpec())
    search = LocalSearchSolverSpec(moveTypeList=[fast], solveTime=limit_s)
    solver.add_solver(SolverSpec(localSearchSolverSpec=search))

    before = cpu_s()
    placed = solver.solve()["assignment"]
    spent = cpu_s() - before

    totals = dict.fromkeys(nodes, 0.0)
    for replica, node in placed.items():
        totals[node] += load[replica]
    for shard, replicas in shards.items():
        if len({zone[placed[replica]] for replica in replicas}) != len(replicas):
            sys.exit(f"Rebalancer put two replicas of {shard} in one zone")
    mean = sum(totals.values()) / len(totals)
    moved = sum(placed[replica] != node for replica, node in start.items())
    answer = {"cpu_s": spent, "max_mean": max(totals.values()) / mean, "moved_pct": 100.0 * moved / len(start)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
