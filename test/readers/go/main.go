// Reads a run with go-sse and prints a JSON line per event: what a Go user would write after its documentation.
// Usage: go-sse URL. Ends at the 204 that follows a run; whoever started it stops it earlier.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/tmaxmax/go-sse"
)

type line struct {
	ID    string `json:"id"`
	Event string `json:"event"`
	Data  string `json:"data"`
}

var errEnded = errors.New("the run has ended")

func main() {
	request, err := http.NewRequest(http.MethodGet, os.Args[1], http.NoBody)
	if err != nil {
		fail(err)
	}
	client := sse.Client{ResponseValidator: validate}
	connection := client.NewConnection(request)
	out := json.NewEncoder(os.Stdout)
	connection.SubscribeToAll(func(event sse.Event) {
		name := event.Type
		if name == "" {
			name = "message"
		}
		if err := out.Encode(line{ID: event.LastEventID, Event: name, Data: event.Data}); err != nil {
			fail(err)
		}
	})
	if err := connection.Connect(); !errors.Is(err, errEnded) {
		fail(err)
	}
}

func validate(response *http.Response) error {
	if response.StatusCode == http.StatusNoContent {
		return errEnded
	}
	return sse.DefaultValidator(response)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
