package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/almanac-data/almanac/functions/internal/secret/reference"
)

// ErrTooMany says that the store refuses a batch for its size.
var ErrTooMany = errors.New("the batch is too large for the store")

// HMAC appends the HMAC-SHA-256 of each value under one version of a key of transit to dst, 32 bytes each, in order. Newer versions of the key
// change nothing about it.
func (c *Client) HMAC(ctx context.Context, key reference.Key, dst []byte, values [][]byte) ([]byte, error) {
	at := key.Mount + "/hmac/" + key.Name
	verb := "make pseudonyms with " + key.Mount + "/" + key.Name
	inputs := make([]map[string]string, len(values))
	for i, v := range values {
		inputs[i] = map[string]string{"input": base64.StdEncoding.EncodeToString(v)}
	}
	answer, err := c.ask(ctx, func() (*api.Secret, error) {
		return c.api.Logical().WriteWithContext(ctx, at, map[string]any{"algorithm": "sha2-256", "key_version": key.Version, "batch_input": inputs})
	})
	if err != nil {
		return nil, c.unmade(verb, at, key, err)
	}
	prefix := fmt.Sprintf("vault:v%d:", key.Version)
	results, _ := answer.Data["batch_results"].([]any)
	if len(results) != len(values) {
		return nil, fmt.Errorf("%s: the store gives %d results for %d values", verb, len(results), len(values))
	}
	for _, r := range results {
		result, _ := r.(map[string]any)
		text, _ := result["hmac"].(string)
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, prefix))
		if err != nil || !strings.HasPrefix(text, prefix) || len(sum) != 32 {
			return nil, fmt.Errorf("%s: the store gives no HMAC-SHA-256 of version %d for a value", verb, key.Version)
		}
		dst = append(dst, sum...)
	}
	return dst, nil
}

// unmade says why there are no HMACs.
func (c *Client) unmade(verb, at string, key reference.Key, err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s: %w", verb, c.explain(err))
	}
	text := said(answer)
	switch {
	case answer.StatusCode == http.StatusForbidden:
		return c.denied(verb, at, "update")
	case answer.StatusCode == http.StatusRequestEntityTooLarge || strings.Contains(text, "exceed") || strings.Contains(text, "too large"):
		return fmt.Errorf("%s: %w: %s", verb, ErrTooMany, text)
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: nothing is mounted at %s/: see bao secrets list", verb, key.Mount)
	case strings.Contains(text, "not found"):
		return fmt.Errorf("%s: there is no such key: bao write -f %s/keys/%s type=hmac key_size=32", verb, key.Mount, key.Name)
	case strings.Contains(text, "version"):
		return fmt.Errorf("%s: version %d cannot be used (%s): keep min_encryption_version and min_decryption_version of the key at %d or below, or name another "+
			"version in ALMANAC_PSEUDONYM_KEY, which changes every pseudonym", verb, key.Version, text, key.Version)
	}
	return fmt.Errorf("%s: %w", verb, c.explain(err))
}
