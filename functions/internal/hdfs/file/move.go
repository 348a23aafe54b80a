package file

import (
	"errors"
	"io/fs"

	"github.com/almanac-data/almanac/functions/internal/hdfs/session"
)

// Move renames a file or folder once, by rename. When an answer is lost it looks whether the new path has the inode that the old one
// had: only that tells our rename from another's. The looking is done before the next attempt and after it, since the first
// request may arrive late. The operation and the name stand in the error.
func Move(s *session.Session, old, to, name string, rename func(t session.Transport, old, to string) error) error {
	source, err := s.Stat("rename", name, old)
	if err != nil {
		return err
	}
	return s.Try("rename", name, func(unclear bool) error {
		return s.With(func(t session.Transport) error {
			if !unclear {
				return rename(t, old, to)
			}
			if done, err := holds(t, to, source.ID); done || err != nil {
				return err
			}
			err := rename(t, old, to)
			if !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if done, lookErr := holds(t, to, source.ID); done || lookErr != nil {
				return lookErr
			}
			return err
		})
	})
}

// holds says whether an inode lies at the path.
func holds(t session.Transport, at string, id uint64) (bool, error) {
	info, err := t.Stat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.ID == id, err
}
