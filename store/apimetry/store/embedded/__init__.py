"""Parts that only an embedded store needs: one owner, and inserts that a kill cannot leave half done."""
