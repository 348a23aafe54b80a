// Package request reads the parameters of requests, and refuses those that cannot be answered.
package request

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/problem"
)

// Known refuses parameters that the route does not have, so that a slip of the pen does not pass for an answer.
func Known(u *url.URL, params []string) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Bad("", "the query cannot be read: %s", err)
	}
	for name, values := range query {
		if !slices.Contains(params, name) {
			if len(params) == 0 {
				return Bad(name, "there is no parameter %q here; there are none", name)
			}
			return Bad(name, "there is no parameter %q here; there are: %s", name, strings.Join(params, ", "))
		}
		if len(values) > 1 {
			return Bad(name, "parameter %q is given %d times; give it once", name, len(values))
		}
	}
	return nil
}

// Number reads a parameter that is a whole number, otherwise the given one.
func Number(r *http.Request, name string, otherwise, least, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if !r.URL.Query().Has(name) {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, Bad(name, "%s must be a whole number from %d to %d, not %q", name, least, most, text)
	}
	return n, nil
}

const (
	pageDefault = 100
	pageMost    = 1000
)

// Page cuts a list that is in order of its keys after the key of the parameter after, and names the next page, if there is one.
func Page[T any](r *http.Request, all []T, key func(T) string) (part []T, next string, err error) {
	limit, err := Number(r, "limit", pageDefault, 1, pageMost)
	if err != nil {
		return nil, "", err
	}
	if after := r.URL.Query().Get("after"); after != "" {
		i := slices.IndexFunc(all, func(t T) bool { return key(t) == after })
		if i < 0 {
			return nil, "", Bad("after", "there is no %q in this list; take after from the next of the page before", after)
		}
		all = all[i+1:]
	}
	if int64(len(all)) <= limit {
		return append([]T{}, all...), "", nil
	}
	query := r.URL.Query()
	query.Set("after", key(all[limit-1]))
	return all[:limit], r.URL.Path + "?" + query.Encode(), nil
}

// Bad is the answer to a request that is wrong in a field, which is empty if it is none of the fields.
func Bad(field, format string, args ...any) *problem.Error {
	return problem.Field(http.StatusBadRequest, field, format, args...)
}

// Missing is the answer to a request for what there is not.
func Missing(field, format string, args ...any) *problem.Error {
	return problem.Field(http.StatusNotFound, field, format, args...)
}
