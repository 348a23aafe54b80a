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

// DataKey has transit make a key of 32 bytes, and wrap it by the newest version of a key of its own.
func (c *Client) DataKey(ctx context.Context, key reference.Key) (data []byte, wrapped string, err error) {
	verb := "make a data key with " + key.Mount + "/" + key.Name
	answer, err := c.transit(ctx, verb, "datakey/plaintext", key, map[string]any{"bits": 256})
	if err != nil {
		return nil, "", err
	}
	wrapped, _ = answer.Data["ciphertext"].(string)
	data, err = plaintext(answer.Data)
	if err != nil || !strings.HasPrefix(wrapped, "vault:v") || len(data) != 32 {
		return nil, "", fmt.Errorf("%s: the store gives no key of 32 bytes", verb)
	}
	return data, wrapped, nil
}

// Unwrap has transit unwrap a data key.
func (c *Client) Unwrap(ctx context.Context, key reference.Key, wrapped string) ([]byte, error) {
	verb := "use " + key.Mount + "/" + key.Name
	if !strings.HasPrefix(wrapped, "vault:v") {
		return nil, fmt.Errorf("%s: the data key was not wrapped by a secrets store, but by %q: name that in ALMANAC_ENVELOPE_KEY", verb, strings.SplitN(wrapped, ":", 2)[0])
	}
	answer, err := c.transit(ctx, verb, "decrypt", key, map[string]any{"ciphertext": wrapped})
	if err != nil {
		return nil, err
	}
	data, err := plaintext(answer.Data)
	if err != nil {
		return nil, fmt.Errorf("%s: the store gives no key", verb)
	}
	return data, nil
}

func plaintext(data map[string]any) ([]byte, error) {
	text, _ := data["plaintext"].(string)
	return base64.StdEncoding.DecodeString(text)
}

// Rewrap has transit wrap data keys by the newest version of its key, in order. They do not leave it.
func (c *Client) Rewrap(ctx context.Context, key reference.Key, wrapped []string) ([]string, error) {
	verb := "wrap data keys anew with " + key.Mount + "/" + key.Name
	inputs := make([]map[string]string, len(wrapped))
	for i, w := range wrapped {
		inputs[i] = map[string]string{"ciphertext": w}
	}
	answer, err := c.transit(ctx, verb, "rewrap", key, map[string]any{"batch_input": inputs})
	if err != nil {
		return nil, err
	}
	results, _ := answer.Data["batch_results"].([]any)
	if len(results) != len(wrapped) {
		return nil, fmt.Errorf("%s: the store gives %d results for %d keys", verb, len(results), len(wrapped))
	}
	out := make([]string, len(wrapped))
	for i, r := range results {
		result, _ := r.(map[string]any)
		if text, _ := result["error"].(string); text != "" {
			return nil, fmt.Errorf("%s: %w", verb, unusable(key, text))
		}
		if out[i], _ = result["ciphertext"].(string); !strings.HasPrefix(out[i], "vault:v") {
			return nil, fmt.Errorf("%s: the store gives no wrapped key", verb)
		}
	}
	return out, nil
}

// transit asks for an operation by a key.
func (c *Client) transit(ctx context.Context, verb, operation string, key reference.Key, body map[string]any) (*api.Secret, error) {
	at := key.Mount + "/" + operation + "/" + key.Name
	answer, err := c.ask(ctx, func() (*api.Secret, error) { return c.api.Logical().WriteWithContext(ctx, at, body) })
	if err == nil && answer == nil {
		err = errors.New("the answer is empty")
	}
	var refused *api.ResponseError
	if err == nil {
		return answer, nil
	}
	if !errors.As(err, &refused) {
		return nil, fmt.Errorf("%s: %w", verb, c.explain(err))
	}
	text := said(refused)
	switch {
	case refused.StatusCode == http.StatusForbidden:
		return nil, c.denied(verb, at, "update")
	case refused.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s: nothing is mounted at %s/: see bao secrets list", verb, key.Mount)
	case refused.StatusCode == http.StatusBadRequest && strings.Contains(text, "not found"):
		return nil, fmt.Errorf("%s: there is no such key: bao write -f %s/keys/%s type=aes256-gcm96", verb, key.Mount, key.Name)
	case refused.StatusCode == http.StatusBadRequest:
		return nil, fmt.Errorf("%s: %w", verb, unusable(key, text))
	}
	return nil, fmt.Errorf("%s: %w", verb, c.explain(err))
}

// unusable says what a key of transit makes of what it was given.
func unusable(key reference.Key, text string) error {
	switch {
	case strings.Contains(text, "too old") || strings.Contains(text, "disallowed"):
		return fmt.Errorf("the data key is wrapped by a version below min_decryption_version (%s): lower that of %s/%s, let almanac secrets rewrap run, and raise it again",
			text, key.Mount, key.Name)
	case strings.Contains(text, "authentication failed") || strings.Contains(text, "invalid ciphertext") || strings.Contains(text, "no prefix"):
		return fmt.Errorf("the data key was wrapped by another key, or its file was changed (%s): restore it from a backup", text)
	}
	return errors.New(text)
}
