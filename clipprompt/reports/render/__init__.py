"""Tables of protocols as text: for the terminal, Markdown, LaTeX and CSV."""
