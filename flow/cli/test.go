package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/flow/plan"
	"github.com/lsm/fiso/flow/spec"
)

func (a *app) testCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test [path…]",
		Short: "Run the transform tests of flows",
		Long: `Runs transform tests, without connecting anywhere, and fails if one of them fails.
The tests of order-events.yaml are in order-events_test.yaml beside it:

  tests:
    - name: a paid order keeps its status
      input: {legacy_id: A-1, order_status: PAID}
      time: 2026-01-02T03:04:05Z
      output: {order_id: A-1, timestamp: "2026-01-02T03:04:05Z", status: PAID}
    - name: an order without a status is a dead letter
      input: {legacy_id: A-2}
      error: TRANSFORM_FAILED

A test expects output (the data), event (attributes), sink, eventHeaders (what the
http sink's eventHeaders make) or recordKey (the key that a kafka sink writes); or a
list of events with these keys, one of which may have an error instead; or filtered:
true, unrouted: true, or error. It may set the key, headers, time, topic, partition
and offset of the record that comes in.

A path is a test file, a flow file or a directory of them. The default is
FISO_CONFIG_DIR, else ` + defaultDir + `.`,
		Example: `  fiso-flow test flows/
  fiso-flow test order-events_test.yaml`,
		RunE: func(c *cobra.Command, args []string) error {
			var files []string
			for _, path := range a.paths(args) {
				found, err := findTests(path)
				if err != nil {
					return err
				}
				files = append(files, found...)
			}
			if len(files) == 0 {
				return fmt.Errorf("no transform tests at %v: write NAME_test.yaml beside NAME.yaml (see 'fiso-flow test --help')", a.paths(args))
			}
			return a.runTests(c, files)
		},
	}
}

// testResult is the result of one test in --output json.
type testResult struct {
	File  string `json:"file"`
	Test  string `json:"test"`
	OK    bool   `json:"ok"`
	Fault string `json:"fault,omitempty"`
}

func (a *app) runTests(c *cobra.Command, files []string) error {
	var (
		results []testResult
		errs    []error
	)
	for _, file := range files {
		var more []testResult
		err := spec.Guard(file, func() (err error) {
			more, err = runTestFile(c, file)
			return err
		})
		results = append(results, more...)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	failed := 0
	for _, r := range results {
		if !r.OK {
			failed++
		}
	}
	if a.JSON() {
		if err := a.PrintJSON(map[string]any{"ok": failed == 0, "tests": results}); err != nil {
			return err
		}
	} else {
		for _, r := range results {
			if r.OK {
				a.Printf("ok    %s: %s\n", r.File, r.Test)
			} else {
				a.Printf("FAIL  %s: %s\n    %s\n", r.File, r.Test, r.Fault)
			}
		}
		a.Printf("%d passed, %d failed\n", len(results)-failed, failed)
	}
	if failed > 0 {
		return command.ErrReported
	}
	return nil
}

func runTestFile(c *cobra.Command, file string) ([]testResult, error) {
	tests, err := readTests(file)
	if err != nil {
		return nil, err
	}
	flow, err := oneFlow(tests.Flow)
	if err != nil {
		return nil, err
	}
	results := make([]testResult, 0, len(tests.Tests))
	for _, t := range tests.Tests {
		fault := runTest(c, &t, flow)
		results = append(results, testResult{file, t.Name, fault == "", fault})
	}
	return results, nil
}

func runTest(c *cobra.Command, t *testCase, flow *plan.Plan) string {
	m, err := t.message()
	if err != nil {
		return err.Error()
	}
	all, err := flow.Process(c.Context(), m)
	return t.compareOutcome(all, err)
}
