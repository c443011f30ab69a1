package main

import (
	"github.com/lsm/fiso/e2e/faults/brokers"
	"github.com/lsm/fiso/e2e/faults/deadletters"
	"github.com/lsm/fiso/e2e/faults/internal/stage"
	"github.com/lsm/fiso/e2e/faults/members"
	"github.com/lsm/fiso/e2e/faults/memory"
	"github.com/lsm/fiso/e2e/faults/outage"
	"github.com/lsm/fiso/e2e/faults/pause"
	"github.com/lsm/fiso/e2e/faults/poison"
	"github.com/lsm/fiso/e2e/faults/reload"
	"github.com/lsm/fiso/e2e/faults/sigkill"
	"github.com/lsm/fiso/e2e/faults/sigterm"
)

// scenarios are all there are, in the order in which they are played: those that
// can share brokers one after the other.
var scenarios = []stage.Scenario{
	sigkill.Scenario, sigterm.Scenario, members.Scenario, pause.Scenario, reload.Scenario, poison.Scenario,
	outage.Scenario, memory.Scenario, deadletters.Scenario, brokers.Scenario,
}
