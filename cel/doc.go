// Package cel evaluates CEL expressions from configuration over untrusted input.
// An expression is checked when the configuration is read, every fault has its
// place in the file and a hint for a person, and an evaluation is bounded in steps,
// time and memory.
//
// It is for programs in whose configuration an operator writes expressions over a
// record or a request, such as fiso-flow's transforms and fiso-link's record keys.
//
//	env, err := cel.New(cel.Config{Record: "data", Variables: []cel.Variable{{Name: "data", Type: types.DynType}}})
//	checked, faults := env.Check(text, false)            // faults: place, message and hint of each
//	program, err := env.Program(checked, checked.Expr())
//	value, err := program.Eval(ctx, vars)                // the error says why there is no value, and quotes none
//
// # The language
//
// It is cel-go with all of its extension libraries (Libraries), numbers compared
// across their types, and times in UTC. JSON values come from package celjson,
// which decodes a value only when it is used; numbers that neither 64 bits nor a
// double can hold are celjson.Big, and json.encode keeps the digits of all numbers.
// cel-go's optimizer and the cost trackers of its libraries are not used: the first
// changes the value of "data.missing in []", the second panic over
// "data.missing.distinct()".
//
// # Limits
//
// An expression that is too long or nests deeper than 48 brackets is refused
// before it is parsed: a hundred brackets can cost a parser gigabytes. cel-go
// counts the cost of a function only after the call. So a function whose work or
// result can be out of proportion to its arguments checks them first, and no
// function makes more than 32 MiB of text. Loops and functions are counted in
// steps, according to the size of their values. Steps over long lists are slow, so
// the context of Eval needs a deadline; only programs that can take long look at
// it, and no goroutine is started. A panic in an evaluation is an error.
package cel
