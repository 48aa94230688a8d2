"""Sessions, sign-in codes and links: what stands for a key while somebody looks."""
