package transform

import (
	"sync"

	"github.com/google/cel-go/common/types"

	"github.com/lsm/fiso/cel"
)

// The variables of an expression.
const (
	varData    = "data"
	varTime    = "time"
	varSource  = "source"
	varType    = "type"
	varID      = "id"
	varSubject = "subject"
	varHeaders = "headers"
	varParent  = "parent" // the data of the whole message, if it is split
)

// variables are their names, in the order in which a message lists them.
var variables = []string{varData, varTime, varSource, varType, varID, varSubject, varHeaders}

// environment is the CEL environment of all expressions, made on first use.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.New(cel.Config{
		Record: varData,
		Variables: []cel.Variable{
			{Name: varData, Type: types.DynType},
			{Name: varTime, Type: types.TimestampType},
			{Name: varSource, Type: types.StringType},
			{Name: varType, Type: types.StringType},
			{Name: varID, Type: types.StringType},
			{Name: varSubject, Type: types.StringType},
			{Name: varHeaders, Type: types.NewMapType(types.StringType, types.StringType)},
			{Name: varParent, Type: types.DynType},
		},
	})
})
