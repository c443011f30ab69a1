package demo

import (
	"encoding/json"
	"fmt"
)

// kind is what an order demonstrates.
type kind int

const (
	good         kind = iota
	notJSON           // not JSON at all
	missingField      // JSON without a field that the flow reads
	refused           // the order service refuses it permanently
)

// order is one record for the topic.
type order struct {
	id    string // "C3-0007": the seventh order of customer 3
	key   string // the customer, so that the orders of a customer stay in order
	kind  kind
	value []byte
}

const customers = 5

// orders generates an endless, deterministic sequence of orders: mostly good ones, with some of
// each kind that cannot be delivered.
type orders struct {
	made    int
	perCust [customers]int
}

func (g *orders) next() order {
	c := g.made % customers
	g.made++
	g.perCust[c]++
	o := order{
		id:  fmt.Sprintf("C%d-%04d", c+1, g.perCust[c]),
		key: fmt.Sprintf("customer-%d", c+1),
	}
	status := []string{"NEW", "PAID", "SHIPPED"}[g.perCust[c]%3]
	switch {
	case g.made%37 == 11:
		o.kind = notJSON
		o.value = []byte(`{"legacy_id": "` + o.id + `", "order_status": PAID`)
		return o
	case g.made%53 == 17:
		o.kind = missingField
		status = ""
	case g.made%41 == 29:
		o.kind = refused
		status = "FRAUD"
	}
	o.value = encode(o.id, status, 1999+100*g.made)
	return o
}

func encode(id, status string, cents int) []byte {
	b, err := json.Marshal(struct {
		ID     string `json:"legacy_id"`
		Status string `json:"order_status,omitempty"`
		Cents  int    `json:"amount_cents"`
	}{id, status, cents})
	if err != nil {
		panic(err) // three plain fields can always be encoded
	}
	return b
}
