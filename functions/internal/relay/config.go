package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config is what a source is told by its environment; K_SINK and K_CE_OVERRIDES are set by a ContainerSource or a SinkBinding.
type Config struct {
	Name      string        `env:"ALMANAC_SOURCE_NAME,required"`         // how far it got is kept in the group almanac-<name>
	Topics    []string      `env:"ALMANAC_SOURCE_TOPICS,required"`       // of Kafka
	Ordered   bool          `env:"ALMANAC_SOURCE_ORDERED,default=false"` // send the records of a partition one after another
	InFlight  int           `env:"ALMANAC_SOURCE_IN_FLIGHT,default=2"`   // events that are sent at once
	Retries   int           `env:"ALMANAC_SOURCE_RETRIES,default=8"`     // how often an event is sent again
	Backoff   time.Duration `env:"ALMANAC_SOURCE_BACKOFF,default=250ms"` // before the first retry twice this, before the second four times, and so on
	Timeout   time.Duration `env:"ALMANAC_SOURCE_TIMEOUT,default=10m"`   // of one request; longer than the function's ALMANAC_TIMEOUT
	Grace     time.Duration `env:"ALMANAC_GRACE,default=20s"`            // for requests under way, after a stop
	Namespace string        `env:"NAMESPACE,default=default"`            // of the source, in the attributes of events
	Sink      string        `env:"K_SINK,required"`                      // URL of the function, or of a JobSink
	Overrides string        `env:"K_CE_OVERRIDES"`                       // {"extensions": {"name": "value"}}: set in each event
}

// Check says what is wrong with it, each by its variable.
func (c Config) Check() error {
	var all []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	u, err := url.Parse(c.Sink)
	wrong(err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "", "K_SINK must be the URL of a function, such as http://store.almanac.svc, not %q", c.Sink)
	wrong(c.InFlight < 1, "ALMANAC_SOURCE_IN_FLIGHT must be at least 1, not %d", c.InFlight)
	wrong(c.Retries < 0 || c.Retries > maxRetries, "ALMANAC_SOURCE_RETRIES must be between 0 and %d, not %d", maxRetries, c.Retries)
	wrong(c.Backoff <= 0 || c.Timeout <= 0 || c.Grace <= 0,
		"ALMANAC_SOURCE_BACKOFF (%s), ALMANAC_SOURCE_TIMEOUT (%s) and ALMANAC_GRACE (%s) must be longer than 0", c.Backoff, c.Timeout, c.Grace)
	_, err = c.extensions()
	return errors.Join(append(all, err)...)
}

// maxRetries keeps the pauses, which double, within what a duration can hold.
const maxRetries = 20

// extensions are those of K_CE_OVERRIDES.
func (c Config) extensions() (map[string]string, error) {
	if c.Overrides == "" {
		return map[string]string{}, nil
	}
	var o struct {
		Extensions map[string]string `json:"extensions"`
	}
	if err := json.Unmarshal([]byte(c.Overrides), &o); err != nil {
		return nil, fmt.Errorf(`K_CE_OVERRIDES must be of the form {"extensions": {"name": "value"}}: %w`, err)
	}
	for name := range o.Extensions {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return nil, fmt.Errorf("K_CE_OVERRIDES: the name of an extension has lower-case letters and digits, not %q", name)
		}
	}
	return o.Extensions, nil
}

// Source is the source that a configuration, which was checked, describes.
func (c Config) Source(client *http.Client, log *slog.Logger) KafkaSource {
	extensions, _ := c.extensions() // Check has seen them
	retries := c.Retries
	if retries == 0 {
		retries = -1
	}
	return KafkaSource{
		Namespace: c.Namespace, Name: c.Name, Sink: c.Sink, Extensions: extensions, Ordered: c.Ordered, InFlight: c.InFlight, Grace: c.Grace,
		Retry: Retry{Count: retries, Base: c.Backoff, Timeout: c.Timeout}, Client: client, Log: log,
	}
}
