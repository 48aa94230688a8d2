/** A small line of bars without axes: requests over the range. */

/** Draw the values of a sparkline as bars. */
export function Spark({ values, label }: { values: readonly number[]; label: string }) {
  const highest = Math.max(...values, 1);
  const width = 4;
  return (
    <svg
      class="spark"
      role="img"
      aria-label={label}
      viewBox={`0 0 ${values.length * width} 20`}
      preserveAspectRatio="none"
    >
      {values.map((value, index) => {
        const height = value === 0 ? 0 : Math.max(1, (value / highest) * 20);
        return <rect key={index} x={index * width} y={20 - height} width={width - 1} height={height} />;
      })}
    </svg>
  );
}
