package demo

import (
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
)

// service is the order service of the demo. It takes CloudEvents by POST, refuses fraud
// permanently, and answers 503 while it is switched off. It does not know Kafka or Fiso.
type service struct {
	ledger *ledger
	away   atomic.Bool
}

// maxOrder limits the request body.
const maxOrder = 1 << 20

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOrder))
	if err != nil {
		http.Error(w, "the body did not arrive whole", http.StatusBadRequest)
		return
	}
	var event struct {
		Data struct {
			OrderID string `json:"order_id"`
			Status  string `json:"status"`
			Cents   *int   `json:"amount_cents"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		http.Error(w, "not a CloudEvent", http.StatusBadRequest)
		return
	}
	switch {
	case s.away.Load():
		s.ledger.orderRetried(event.Data.OrderID)
		http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
	case event.Data.Status == "FRAUD":
		http.Error(w, "order "+event.Data.OrderID+" looks fraudulent", http.StatusUnprocessableEntity)
	default:
		s.ledger.orderDelivered(event.Data.OrderID, event.Data.Status, event.Data.Cents != nil)
		w.WriteHeader(http.StatusNoContent)
	}
}
