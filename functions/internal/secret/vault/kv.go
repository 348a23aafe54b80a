package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/almanac-data/almanac/functions/internal/secret/reference"
)

// Secret reads the latest version of a secret of a key-value engine of version 2.
func (c *Client) Secret(ctx context.Context, mount, path string) (map[string]any, error) {
	at := mount + "/data/" + path
	verb := "read " + mount + "/" + path
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout) // the library's holds for other calls
	defer cancel()
	answer, err := c.ask(ctx, func() (*api.Secret, error) {
		raw, err := c.api.Logical().ReadRawWithContext(ctx, at)
		if raw != nil {
			defer func() { _ = raw.Body.Close() }() // it is read
		}
		if err != nil {
			return nil, err
		}
		return c.api.Logical().ParseRawResponseAndCloseBody(raw, nil)
	})
	var refused *api.ResponseError
	switch {
	case errors.As(err, &refused) && refused.StatusCode == http.StatusForbidden:
		return nil, c.denied(verb, at, "read")
	case errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound:
		if strings.Contains(said(refused), "no handler for route") {
			return nil, fmt.Errorf("%s: nothing is mounted at %s/: see bao secrets list", verb, mount)
		}
		return nil, fmt.Errorf("%s: there is no such secret, or it was deleted, or %s/ is no key-value engine of version 2: bao kv put -mount=%s %s …", verb, mount, mount, path)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", verb, c.explain(err))
	}
	data, ok := answer.Data["data"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: %s/ is no key-value engine of version 2", verb, mount)
	}
	return data, nil
}

// Pick takes the value that a reference names out of its secret.
func Pick(data map[string]any, v reference.Value) ([]byte, error) {
	value, there := data[v.Key]
	if !there {
		return nil, fmt.Errorf("read %s/%s: it has no key %q, but %s", v.Mount, v.Path, v.Key, strings.Join(slices.Sorted(maps.Keys(data)), ", "))
	}
	text, ok := value.(string)
	if !ok || text == "" {
		return nil, fmt.Errorf("read %s: the value must be a text that is not empty", v)
	}
	if !v.Base64 {
		return []byte(text), nil
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, fmt.Errorf("read %s: the value is not base64, as ?encoding=base64 says", v) // err would show a part of it
	}
	return raw, nil
}
