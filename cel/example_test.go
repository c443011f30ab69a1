package cel_test

import (
	"context"
	"fmt"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/cel"
	"github.com/lsm/fiso/cel/celjson"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/lazyjson"
)

func Example() {
	env, err := cel.New(cel.Config{Record: "data", Variables: []cel.Variable{{Name: "data", Type: types.DynType}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A fault has a hint.
	_, faults := env.Check(config.Text{Value: `{"total": total * 2}`}, false)
	fmt.Println(faults[0].Message, "-", faults[0].Hint)

	checked, faults := env.Check(config.Text{Value: `data.items.map(i, i.price).size() > 1 && data.customer.vip`}, false)
	if faults != nil {
		fmt.Println(faults)
		return
	}
	program, err := env.Program(checked, checked.Expr())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, record := range []string{
		`{"items": [{"price": 1.10}, {"price": 2}], "customer": {"vip": true}}`,
		`{"items": [{"price": 1.10}, {"price": 2}], "customer": {}}`,
	} {
		var doc lazyjson.Doc
		if err := doc.Parse([]byte(record)); err != nil {
			fmt.Println(err)
			return
		}
		data, err := celjson.Plain(celjson.Of(doc.Root()), cel.MaxParts)
		if err != nil {
			fmt.Println(err)
			return
		}
		vars, err := interpreter.NewActivation(map[string]any{"data": data})
		if err != nil {
			fmt.Println(err)
			return
		}
		value, err := program.Eval(context.Background(), vars)
		fmt.Println(value, err)
	}
	// Output:
	// undeclared reference to 'total' - did you mean data.total?
	// true <nil>
	// <nil> no such field: data.customer.vip
}
