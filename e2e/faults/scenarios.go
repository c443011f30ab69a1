package main

import (
	"github.com/lsm/fiso/e2e/faults/brokers"
	"github.com/lsm/fiso/e2e/faults/deadletters"
	"github.com/lsm/fiso/e2e/faults/internal/harness"
	"github.com/lsm/fiso/e2e/faults/members"
	"github.com/lsm/fiso/e2e/faults/memory"
	"github.com/lsm/fiso/e2e/faults/outage"
	"github.com/lsm/fiso/e2e/faults/pause"
	"github.com/lsm/fiso/e2e/faults/poison"
	"github.com/lsm/fiso/e2e/faults/reload"
	"github.com/lsm/fiso/e2e/faults/sigkill"
	"github.com/lsm/fiso/e2e/faults/sigterm"
)

// scenarios are all scenarios in their order. Scenarios that can share brokers are next to each
// other.
var scenarios = []harness.Scenario{
	sigkill.Scenario, sigterm.Scenario, members.Scenario, pause.Scenario, reload.Scenario, poison.Scenario,
	outage.Scenario, memory.Scenario, deadletters.Scenario, brokers.Scenario,
}
