/** Drawn here, coloured by the theme. */
import { LabIcon } from '@jupyterlab/ui-components';

/** Three servers, of which one answers. */
export const servicesIcon = new LabIcon({
  name: 'jupyter-model-service:services',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M4 3h16a1 1 0 0 1 1 1v4a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1zm2 2v2h2V5z" fill-rule="evenodd"/>
    <path d="M4 10h16a1 1 0 0 1 1 1v2h-2l-3 3v1H4a1 1 0 0 1-1-1v-5a1 1 0 0 1 1-1zm2 2v2h2v-2z" fill-rule="evenodd"/>
    <path d="M14 15l8 4.5-8 4.5zM3 19a1 1 0 0 1 1-1h8v4H4a1 1 0 0 1-1-1z"/>
  </g>
</svg>`
});

/** A file that says how its folder is served. */
export const definitionIcon = new LabIcon({
  name: 'jupyter-model-service:definition',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M6 2h8l6 6v5h-2V9h-5V4H6v16h6v2H6a2 2 0 0 1-2-2V4a2 2 0 0 1 2-2z"/>
    <path d="M14 15l8 4.5-8 4.5z"/>
  </g>
</svg>`
});
