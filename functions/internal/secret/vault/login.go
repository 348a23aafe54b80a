package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/approle"
	"github.com/hashicorp/vault/api/auth/kubernetes"
)

// login logs in and takes the token. The caller holds mu, or is alone.
func (c *Client) login(ctx context.Context) (*api.Secret, error) {
	method, err := c.method()
	var login *api.Secret
	if err == nil {
		// A token that has ended must not go along: the store would refuse the login for it.
		of, cloned := c.api.CloneWithHeaders()
		if cloned != nil {
			return nil, cloned
		}
		of.ClearToken()
		of.ClearNamespace()
		if login, err = method.Login(ctx, of); err == nil && (login == nil || login.Auth == nil || login.Auth.ClientToken == "") {
			err = errNoLogin
		}
	}
	if err != nil {
		c.broken = c.refused(err)
		return nil, c.broken
	}
	c.broken = nil
	c.api.SetToken(login.Auth.ClientToken)
	return login, nil
}

// method reads the credentials anew.
func (c *Client) method() (api.AuthMethod, error) {
	if c.cfg.RoleID != "" {
		return approle.NewAppRoleAuth(c.cfg.RoleID, &approle.SecretID{FromFile: c.cfg.SecretIDFile}, approle.WithMountPath(c.path()))
	}
	return kubernetes.NewKubernetesAuth(c.role(), kubernetes.WithServiceAccountTokenPath(c.cfg.tokenFile()), kubernetes.WithMountPath(c.path()))
}

func (c *Client) role() string { return cmp.Or(c.cfg.Role, c.name) }

// path is where the login method is mounted.
func (c *Client) path() string {
	if c.cfg.RoleID != "" {
		return cmp.Or(c.cfg.Method, "approle")
	}
	return cmp.Or(c.cfg.Method, "kubernetes")
}

// refused says why a login failed and what to do.
func (c *Client) refused(err error) error {
	of := fmt.Sprintf("log in to the secrets store at %s by auth/%s", c.cfg.Server, c.path())
	var answer *api.ResponseError
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w", of, err)
	case !errors.As(err, &answer) || answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests:
		return c.explain(err)
	case answer.StatusCode == http.StatusNotFound || c.cfg.RoleID != "" && answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s: there is no such method: enable it, or set ALMANAC_VAULT_METHOD to its path", of)
	case c.cfg.RoleID != "":
		return fmt.Errorf("%s: refused (%s): the secret id in %s is unknown, revoked, used up or expired, or belongs to another role than ALMANAC_VAULT_ROLE_ID. Put a new one "+
			"there (bao write -f auth/%s/role/<role>/secret-id); no restart is needed", of, said(answer), c.cfg.SecretIDFile, c.path())
	}
	return fmt.Errorf("%s as %q: refused (%s): see that the role is there, and bound to the service account and the audience of the token in %s",
		of, c.role(), said(answer), c.cfg.tokenFile())
}

// said is what the store answered.
func said(answer *api.ResponseError) string {
	return strings.Join(strings.Fields(strings.Join(answer.Errors, "; ")), " ")
}
