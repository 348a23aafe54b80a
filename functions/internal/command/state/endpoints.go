package state

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Endpoints are what a run writes into the data folder for other commands.
type Endpoints struct {
	PID   int    `json:"pid"`
	Kafka string `json:"kafka"`
	HTTP  string `json:"http"`
	Clock string `json:"clock,omitempty"` // RFC 3339, if the clock does not run
}

// EndpointsFile is their file in the data folder.
const EndpointsFile = "endpoints.json"

// ReadEndpoints reads those of the process that holds the data folder, or held it last; fs.ErrNotExist if none ever did.
func ReadEndpoints(data string) (at Endpoints, err error) {
	raw, err := os.ReadFile(filepath.Join(data, EndpointsFile))
	if err != nil {
		return at, err
	}
	if err := json.Unmarshal(raw, &at); err != nil {
		return at, fmt.Errorf("read %s: %w", EndpointsFile, err)
	}
	return at, nil
}

// Write puts them into the data folder.
func (at Endpoints) Write(data string) error {
	raw, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(data, EndpointsFile), raw, 0o600)
}
