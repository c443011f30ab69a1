// Package connectortest is the conformance suite of Fiso's connectors: the
// promises of package connector as scenarios that run against a connector and
// the real thing behind it. It asserts what a lost message would break: that
// what was not settled comes back.
//
//	func TestSource_conforms(t *testing.T) {
//		features := connectortest.Features{Partitions: true, Guarantees: connector.Guarantees{Orders: true, Redelivers: true}}
//		connectortest.RunSource(t, features, func(t testing.TB) connectortest.SourceHarness {
//			topic := newTopic(t) // a place of its own for each scenario
//			return connectortest.SourceHarness{
//				New:     func(t testing.TB) connector.Source { return newSource(t, topic) },
//				Produce: func(t testing.TB, in ...connectortest.Input) { produce(t, topic, in) },
//			}
//		})
//	}
//
// Features is the sheet of a connector's guarantees and selects the scenarios.
// Each scenario has its own test, its own harness, and is a function too, for
// a test that wants that one alone. Each ends with a look at the goroutines:
// none may be left but those that were there before. Scenarios therefore do
// not run in parallel with other tests.
//
// Nothing sleeps. What must happen is waited for up to a deadline, what must
// not is watched for a window of time; see Timing.
package connectortest
