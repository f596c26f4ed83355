    for written in write_report(report, out):
        console.print(written, style="dim")
